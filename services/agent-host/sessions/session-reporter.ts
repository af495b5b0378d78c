// Reports to the store what happens to the agents that serve sessions on this host.
import type { LogLine } from "../../../libs/contracts/fleet/pool.ts";
import { type Clock, isoNow } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { AgentEvent } from "../pool/messages.ts";
import type { Assignment, AssignmentEnd, Slot } from "../pool/slots.ts";
import type { ConversationStore } from "./conversation-store.ts";
import type { EventPublisher } from "./event-publisher.ts";
import type { UsageReporter } from "./usage-reporter.ts";

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  readonly events: Pick<EventPublisher, "publish" | "publishLost" | "log">;
  readonly conversations: Pick<ConversationStore, "keep" | "forget">;
  readonly usage: Pick<UsageReporter, "note" | "finish">;
  /** How long after its last user left a session ends. */
  readonly userRejoinGraceMs: number;
  /** Called when the slot serves its session no more. */
  readonly onFree: (slot: Slot) => void;
}

type InRoom = Extract<AgentEvent, { type: "joined" | "ready" }>;
type LogEvent = Extract<AgentEvent, { type: "log" }>;

/** The pauses after an agent file declined its session for the first time, and after many times. */
const FIRST_PAUSE_MS = 200;
const MAX_PAUSE_MS = 5000;

export class SessionReporter {
  readonly #deps: Deps;
  readonly #graceTimers = new Map<Slot, () => void>();
  /** The number of agents lost while they served a session. */
  lost = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  onAgentEvent(slot: Slot, event: AgentEvent): void {
    const { clock, conversations, events, usage } = this.#deps;
    const { assignment } = slot;
    if (assignment === undefined) return;
    const { profile } = slot.process;
    switch (event.type) {
      case "declined":
        this.#onDeclined(slot, event.reason);
        return;
      case "joined":
        this.#onInRoom(slot, event);
        return;
      case "ready":
        assignment.readyAtMs = clock.monotonic();
        this.#onInRoom(slot, event);
        return;
      case "started":
        this.#onStarted(slot);
        return;
      case "user":
        if (event.present) assignment.userJoined = true;
        this.#onUser(slot, event.present, event.hungUp);
        return;
      case "active":
        assignment.lastActiveAtMs = clock.monotonic();
        return;
      case "conversation":
        conversations.keep(assignment, { items: event.items, omitted: event.omitted });
        return;
      case "usage":
        usage.note(assignment, profile, event.usage);
        return;
      case "log":
        events.log(assignment, this.#logLineOf(assignment, event));
        return;
      case "ended":
        this.#onEnded(slot, event);
        return;
      case "lost":
        this.#noteEnd(slot, "lost", event.reason);
        this.#publishLost(slot, event.reason);
        this.#free(slot);
        usage.finish(assignment, profile);
        return;
      case "closed":
        this.#free(slot);
        usage.finish(assignment, profile);
    }
  }

  /** Nothing failed, so the session waits for another agent, longer each time. */
  #onDeclined(slot: Slot, reason: string): void {
    const { assignment } = slot;
    this.#noteEnd(slot, "ended", reason);
    if (assignment?.isReleased === false) {
      const pauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (assignment.attempt - 1));
      void this.#deps.events.publish(assignment, { type: "provider_declined", reason, pauseMs });
    }
    this.#free(slot);
  }

  /** Logs before it publishes, so that in the log the cause comes before its effect. */
  #onInRoom(slot: Slot, event: InRoom): void {
    const { type, room, identity } = event;
    const { clock, events, log } = this.#deps;
    const { assignment } = slot;
    if (assignment === undefined) return;
    const { sessionId, attempt, warmth, isReleased } = assignment;
    const what = type === "joined" ? "agent joined its room" : "agent is ready";
    log.debug({ sessionId, attempt, slot: slot.id, room, identity }, what);
    if (isReleased) return;
    const tookMs = Math.round(clock.monotonic() - assignment.takenAtMs);
    if (type === "joined") assignment.joinMs = tookMs;
    else assignment.readyMs = tookMs;
    const { version } = slot.process;
    const inRoom = { room, identity, warm: warmth, tookMs, ...(version === undefined ? {} : { version }) };
    if (event.type === "joined") void events.publish(assignment, { type: "joined", ...inRoom });
    else
      assignment.readyStored = events.publish(assignment, {
        type: "ready",
        ...inRoom,
        ...(event.awaitingUser === undefined ? {} : { awaitingUser: true }),
      });
  }

  /** Publishes the event after `ready`, because it has no meaning before that. */
  #onStarted({ assignment }: Slot): void {
    if (assignment === undefined) return;
    const publish = () => {
      if (!assignment.isReleased) void this.#deps.events.publish(assignment, { type: "agent_started" });
    };
    void Promise.resolve(assignment.readyStored).then(publish);
  }

  /** A user who lost the connection may come back within the grace period. A user who hung up has left. */
  #onUser(slot: Slot, isPresent: boolean, hungUp: boolean): void {
    const { clock, events, userRejoinGraceMs } = this.#deps;
    this.#cancelGrace(slot);
    if (isPresent || slot.assignment?.userJoined !== true) return;
    const cancel = clock.after(hungUp ? 0 : userRejoinGraceMs, () => {
      this.#graceTimers.delete(slot);
      if (slot.assignment?.isReleased === false) void events.publish(slot.assignment, { type: "user_left" });
    });
    this.#graceTimers.set(slot, cancel);
  }

  #onEnded(slot: Slot, { error, lost, reason }: Extract<AgentEvent, { type: "ended" }>): void {
    this.#noteEnd(slot, lost ? "lost" : "ended", error?.message ?? reason);
    if (lost) this.#publishLost(slot, reason);
    else if (slot.assignment !== undefined) {
      void this.#deps.events.publish(slot.assignment, {
        type: "agent_ended",
        reason,
        ...(error === undefined ? {} : { error: error.message }),
        retryable: error?.retryable ?? true,
        ...(error?.cause === undefined ? {} : { cause: error.cause }),
      });
    }
    // The agent may report usage until it is closed.
    this.#free(slot);
  }

  #logLineOf({ attempt }: Assignment, { line }: LogEvent): LogLine {
    const error = "error" in line.fields ? `: ${errorText(line.fields.error)}` : "";
    return {
      at: line.at || isoNow(this.#deps.clock),
      level: line.level,
      message: `${line.message}${error}`,
      attempt,
    };
  }

  #noteEnd({ assignment }: Slot, how: AssignmentEnd["how"], reason: string): void {
    if (assignment !== undefined) assignment.over ??= { how, reason, atMs: this.#deps.clock.monotonic() };
  }

  #publishLost({ assignment }: Slot, reason: string): void {
    if (assignment === undefined || assignment.isReleased) return;
    this.lost += 1;
    this.#deps.events.publishLost(assignment, reason);
  }

  #free(slot: Slot): void {
    this.#cancelGrace(slot);
    if (slot.assignment !== undefined) this.#deps.conversations.forget(slot.assignment);
    this.#deps.onFree(slot);
  }

  #cancelGrace(slot: Slot): void {
    this.#graceTimers.get(slot)?.();
    this.#graceTimers.delete(slot);
  }
}

const errorText = (error: unknown): string =>
  typeof error === "object" && error !== null && "message" in error ? String(error.message) : String(error);
