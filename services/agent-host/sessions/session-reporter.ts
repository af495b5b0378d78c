// Turns what happens in a pool's stages into what the host says of its sessions.
import type { AgentUsage } from "../../../libs/contracts/calls/call.ts";
import type { PoolSettings } from "../../../libs/contracts/fleet/pool.ts";
import type { SavedConversation } from "../../../libs/contracts/sessions/conversation.ts";
import { type Clock, isoNow } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { AgentEvents } from "../pool/agent-events.ts";
import type { JobError, ProcessToHost } from "../pool/messages.ts";
import type { AssignmentEnd, Slot } from "../pool/slots.ts";
import type { ConversationStore } from "./conversation-store.ts";
import type { EventPublisher } from "./event-publisher.ts";
import type { UsageReporter } from "./usage-reporter.ts";

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  readonly profile: string;
  readonly reports: EventPublisher;
  readonly conversations: Pick<ConversationStore, "keep" | "forget">;
  readonly measured: Pick<UsageReporter, "note" | "finish">;
  /** How long a user may be gone without having hung up. */
  readonly userLeftMs: number;
  readonly slotById: (slotId: string | undefined) => Slot | undefined;
  readonly onChange: () => void;
  readonly onLoaded: (pool: Partial<PoolSettings>) => void;
  /** The slot serves its session no more. */
  readonly onFree: (slot: Slot) => void;
}

export class SessionReporter implements AgentEvents {
  readonly #deps: Deps;
  readonly #userTimers = new Map<Slot, () => void>();
  lost = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  onChange(): void {
    this.#deps.onChange();
  }

  onLoaded(pool: Partial<PoolSettings>): void {
    this.#deps.onLoaded(pool);
  }

  onJoined(slot: Slot, at: { room: string; identity: string }): void {
    this.#note(slot, at, "the agent is in its room");
    this.#sayInRoom(slot, "joined", at);
  }

  onReady(slot: Slot, at: { room: string; identity: string }): void {
    this.#note(slot, at, "the agent's entrypoint says that it is ready");
    this.#sayInRoom(slot, "ready", at);
  }

  /** A user who lost the connection may come back within the grace; one who hung up has left. */
  onUser(slot: Slot, { present, hungUp }: { present: boolean; hungUp: boolean }): void {
    const { clock, reports, userLeftMs } = this.#deps;
    this.#cancelTimer(slot);
    if (present || slot.assignment?.userJoined !== true) return;
    const cancel = clock.after(hungUp ? 0 : userLeftMs, () => {
      this.#userTimers.delete(slot);
      if (slot.assignment?.isReleased === false) reports.publish(slot.assignment, { type: "user_left" });
    });
    this.#userTimers.set(slot, cancel);
  }

  onEnded(slot: Slot, ending: { reason: string; error?: JobError; lost: boolean }): void {
    this.#noteEnd(slot, ending.lost ? "lost" : "ended", ending.error?.message ?? ending.reason);
    if (ending.lost) this.#sayLost(slot, ending.reason);
    else if (slot.assignment !== undefined) {
      this.#deps.reports.publish(slot.assignment, {
        type: "agent_ended",
        reason: ending.reason,
        ...(ending.error === undefined ? {} : { error: ending.error.message }),
        retryable: ending.error?.retryable ?? true,
      });
    }
    // What it measured to the last comes until it is closed.
    this.#free(slot);
  }

  onLost(slot: Slot, reason: string): void {
    this.#noteEnd(slot, "lost", reason);
    this.#sayLost(slot, reason);
    this.onClosed(slot);
  }

  onClosed(slot: Slot): void {
    this.#free(slot);
    const { measured, profile } = this.#deps;
    if (slot.assignment !== undefined) measured.finish(slot.assignment, profile);
  }

  #free(slot: Slot): void {
    this.#cancelTimer(slot);
    if (slot.assignment !== undefined) this.#deps.conversations.forget(slot.assignment);
    this.#deps.onFree(slot);
  }

  onConversation(slot: Slot, saved: SavedConversation): void {
    if (slot.assignment !== undefined) this.#deps.conversations.keep(slot.assignment, saved);
  }

  onMeasures(slot: Slot, measures: AgentUsage): void {
    if (slot.assignment !== undefined)
      this.#deps.measured.note(slot.assignment, this.#deps.profile, measures);
  }

  /** An agent's line goes to the host's own log, and to its session's. */
  onLog({ slot, sessionId, line }: Extract<ProcessToHost, { type: "log" }>): void {
    const { clock, log, profile, reports, slotById } = this.#deps;
    const fields = { ...line.fields, profile, ...(sessionId === undefined ? {} : { sessionId }) };
    logAt(log, line.level, fields, line.message);
    const assignment = slotById(slot)?.assignment;
    if (assignment === undefined) return;
    const error = "error" in line.fields ? `: ${errorText(line.fields.error)}` : "";
    reports.log(assignment, {
      at: line.at || isoNow(clock),
      level: line.level,
      message: `${line.message}${error}`,
      attempt: assignment.attempt,
    });
  }

  /** Before it is said, so that whoever compares finds the cause in the log ahead of its effect. */
  #note(slot: Slot, at: { room: string; identity: string }, what: string): void {
    const { sessionId, attempt } = slot.assignment ?? {};
    const { room, identity } = at;
    this.#deps.log.debug({ sessionId, attempt, slot: slot.id, room, identity }, what);
  }

  #sayInRoom(slot: Slot, type: "joined" | "ready", at: { room: string; identity: string }): void {
    const { assignment } = slot;
    if (assignment === undefined || assignment.isReleased) return;
    const tookMs = Math.round(this.#deps.clock.monotonic() - assignment.takenAtMs);
    if (type === "joined") assignment.joinMs = tookMs;
    else assignment.readyMs = tookMs;
    this.#deps.reports.publish(assignment, {
      type,
      room: at.room,
      identity: at.identity,
      warm: assignment.warmth,
      tookMs,
    });
  }

  #noteEnd({ assignment }: Slot, how: AssignmentEnd["how"], reason: string): void {
    if (assignment !== undefined) assignment.over ??= { how, reason, atMs: this.#deps.clock.monotonic() };
  }

  #sayLost(slot: Slot, reason: string): void {
    if (slot.assignment === undefined || slot.assignment.isReleased) return;
    this.lost += 1;
    this.#deps.reports.publishLost(slot.assignment, reason);
  }

  #cancelTimer(slot: Slot): void {
    this.#userTimers.get(slot)?.();
    this.#userTimers.delete(slot);
  }
}

function logAt(log: Log, level: string, fields: Record<string, unknown>, message: string): void {
  if (level === "error" || level === "fatal") log.error(fields, message);
  else if (level === "warn") log.warn(fields, message);
  else if (level === "info") log.info(fields, message);
  else log.debug(fields, message);
}

const errorText = (error: unknown): string =>
  typeof error === "object" && error !== null && "message" in error ? String(error.message) : String(error);
