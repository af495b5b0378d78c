// What a pool tells its host of its agents, and what it notes of each on the way.
import type { AgentUsage } from "../../../libs/contracts/calls/call.ts";
import type { PoolSettings } from "../../../libs/contracts/fleet/pool.ts";
import type { SavedConversation } from "../../../libs/contracts/sessions/conversation.ts";
import type { JobError, ProcessToHost } from "./messages.ts";
import type { Slot } from "./slots.ts";

export interface AgentEvents {
  /** Numbers or states changed. */
  onChange(): void;
  onLoaded(pool: Partial<PoolSettings>): void;
  onJoined(slot: Slot, at: { room: string; identity: string }): void;
  onReady(slot: Slot, at: { room: string; identity: string }): void;
  onUser(slot: Slot, user: { present: boolean; hungUp: boolean }): void;
  /** The job ended by itself. */
  onEnded(slot: Slot, ending: { reason: string; error?: JobError; lost: boolean }): void;
  /** The stage died under a busy slot. */
  onLost(slot: Slot, reason: string): void;
  /** Everything of the slot is cleaned up. */
  onClosed(slot: Slot): void;
  /** Something was said in the session; all of it so far. */
  onConversation(slot: Slot, saved: SavedConversation): void;
  /** What its sessions have measured so far, all of it. */
  onMeasures(slot: Slot, measures: AgentUsage): void;
  onLog(message: Extract<ProcessToHost, { type: "log" }>): void;
}

/** What an agent says while it serves its session; it changes nothing in the pool. */
export type ServingMessage = Extract<
  ProcessToHost,
  { type: "joined" | "ready" | "user" | "active" | "conversation" | "usage" }
>;

export function forwardAgentEvent(
  listener: AgentEvents,
  slot: Slot,
  message: ServingMessage,
  nowMs: number,
): void {
  const { assignment } = slot;
  switch (message.type) {
    case "joined":
      listener.onJoined(slot, message);
      return;
    case "ready":
      if (assignment !== undefined) assignment.readyAtMs = nowMs;
      listener.onReady(slot, message);
      return;
    case "user":
      if (assignment !== undefined && message.present) assignment.userJoined = true;
      listener.onUser(slot, message);
      return;
    case "conversation":
      listener.onConversation(slot, { items: message.items, omitted: message.omitted });
      return;
    case "usage":
      listener.onMeasures(slot, message.usage);
      return;
    case "active":
      if (assignment !== undefined) assignment.lastActiveAtMs = nowMs;
  }
}
