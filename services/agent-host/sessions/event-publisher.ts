// What a host says of its sessions: joined, ready, left, ended, lost. Each is said until it is stored.
import type { Bus } from "../../../libs/bus/bus.ts";
import type { LogBatch, LogLine } from "../../../libs/contracts/fleet/pool.ts";
import { type AttemptRef, attemptRefOf, type SessionRef, sessionKey } from "../../../libs/contracts/ids.ts";
import type { SessionEvent } from "../../../libs/contracts/sessions/session.ts";
import { sessionEvents, sessionLogs } from "../../../libs/contracts/streams.ts";
import { type Clock, isoNow, sleep } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";

interface Deps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly hostId: string;
  readonly epoch: () => number;
}

const AGAIN_MS = 250;
/** Longer than NATS needs to come back; later the janitor has seen what happened by itself. */
const GIVE_UP_MS = 120_000;
const LOG_EVERY_MS = 100;
const LINES_PER_BATCH = 200;

type OfHost = Extract<SessionEvent, { epoch: number }>;
type WithoutAddress<T> = T extends unknown ? Omit<T, keyof AttemptRef | "host" | "epoch" | "at"> : never;

export class EventPublisher {
  readonly #deps: Deps;
  readonly #pendingLogs = new Map<string, LogBatch>();
  readonly #underway = new Set<Promise<void>>();
  #logsAreDue = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Says what a session's agent did. */
  publish(ref: AttemptRef, what: WithoutAddress<OfHost>): void {
    const { hostId, epoch } = this.#deps;
    this.#store({
      ...what,
      ...attemptRefOf(ref),
      host: hostId,
      epoch: epoch(),
      at: isoNow(this.#deps.clock),
    } as SessionEvent);
  }

  publishLost(ref: AttemptRef, reason: string): void {
    this.#store({
      type: "agent_lost",
      ...attemptRefOf(ref),
      at: isoNow(this.#deps.clock),
      reason,
    });
  }

  /** Lines are collected for a moment and stored together. */
  log({ tenant, sessionId }: SessionRef, line: LogLine): void {
    const key = sessionKey({ tenant, sessionId });
    const batch = this.#pendingLogs.get(key) ?? { tenant, sessionId, lines: [] };
    this.#pendingLogs.set(key, batch);
    if (batch.lines.length < LINES_PER_BATCH) batch.lines.push(line);
    if (this.#logsAreDue) return;
    this.#logsAreDue = true;
    this.#deps.clock.after(LOG_EVERY_MS, () => this.#flushLogs());
  }

  /** Waits until all that was said is stored. */
  async settle(): Promise<void> {
    this.#flushLogs();
    await Promise.all(this.#underway);
  }

  #store(event: SessionEvent): void {
    this.#track(this.#storeUntilDone(event));
  }

  async #storeUntilDone(event: SessionEvent): Promise<void> {
    const { bus, clock, log } = this.#deps;
    const since = clock.monotonic();
    for (;;) {
      try {
        await bus.streams.publish(sessionEvents, event);
        return;
      } catch (error) {
        if (clock.monotonic() - since > GIVE_UP_MS) {
          log.error({ error, event }, "a report could not be stored; the janitor has to find out by itself");
          return;
        }
        await sleep(clock, AGAIN_MS);
      }
    }
  }

  #flushLogs(): void {
    this.#logsAreDue = false;
    const batches = [...this.#pendingLogs.values()];
    this.#pendingLogs.clear();
    for (const batch of batches) {
      this.#track(
        this.#deps.bus.streams.publish(sessionLogs, batch).then(
          () => {},
          (error: unknown) => this.#deps.log.debug({ error }, "log lines of a session were not stored"),
        ),
      );
    }
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#underway.delete(tracked));
    this.#underway.add(tracked);
  }
}
