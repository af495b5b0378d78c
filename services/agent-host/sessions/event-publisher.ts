// Publishes the events of a host's sessions and their log lines. Each event is retried until it is stored.
import type { ServiceDeps } from "../../../libs/bus/service-deps.ts";
import type { LogBatch, LogLine } from "../../../libs/contracts/fleet/pool.ts";
import { type AttemptRef, attemptRefOf, type SessionRef, sessionKey } from "../../../libs/contracts/ids.ts";
import type { SessionEvent } from "../../../libs/contracts/sessions/session.ts";
import { sessionEvents, sessionLogs } from "../../../libs/contracts/streams.ts";
import { isoNow, sleep } from "../../../libs/runtime/clock.ts";

interface Deps extends ServiceDeps {
  readonly hostId: string;
  readonly epoch: () => number;
}

const RETRY_MS = 250;
/** NATS recovers in less. Later, the janitor has noticed by itself what happened. */
const GIVE_UP_MS = 120_000;
const LOG_BATCH_MS = 100;
const LINES_PER_BATCH = 200;

type HostEvent = Extract<SessionEvent, { epoch: number }>;
type WithoutAddress<T> = T extends unknown ? Omit<T, keyof AttemptRef | "host" | "epoch" | "at"> : never;

export class EventPublisher {
  readonly #deps: Deps;
  readonly #pendingLogs = new Map<string, LogBatch>();
  readonly #inProgress = new Set<Promise<void>>();
  #isFlushPlanned = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Publishes an event of this host about an attempt. @returns a promise that resolves when it is stored */
  publish(ref: AttemptRef, event: WithoutAddress<HostEvent>): Promise<void> {
    const { clock, epoch, hostId } = this.#deps;
    const address = { ...attemptRefOf(ref), host: hostId, epoch: epoch(), at: isoNow(clock) };
    const stored = this.#storeUntilDone({ ...event, ...address } as SessionEvent);
    this.#track(stored);
    return stored;
  }

  publishLost(ref: AttemptRef, reason: string): void {
    const at = isoNow(this.#deps.clock);
    this.#track(this.#storeUntilDone({ type: "agent_lost", ...attemptRefOf(ref), at, reason }));
  }

  /** Collects log lines for a moment and stores them together. */
  log({ tenant, sessionId }: SessionRef, line: LogLine): void {
    const key = sessionKey({ tenant, sessionId });
    const batch = this.#pendingLogs.get(key) ?? { tenant, sessionId, lines: [] };
    this.#pendingLogs.set(key, batch);
    if (batch.lines.length < LINES_PER_BATCH) batch.lines.push(line);
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    this.#deps.clock.after(LOG_BATCH_MS, () => this.#flushLogs());
  }

  /** Waits until everything published so far is stored. */
  async flush(): Promise<void> {
    this.#flushLogs();
    await Promise.all(this.#inProgress);
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
          log.error({ error, event }, "failed to publish an event; the janitor has to notice by itself");
          return;
        }
        await sleep(clock, RETRY_MS);
      }
    }
  }

  #flushLogs(): void {
    this.#isFlushPlanned = false;
    const batches = [...this.#pendingLogs.values()];
    this.#pendingLogs.clear();
    for (const batch of batches) {
      this.#track(
        this.#deps.bus.streams.publish(sessionLogs, batch).then(
          () => {},
          (error: unknown) => this.#deps.log.debug({ error }, "failed to store log lines of a session"),
        ),
      );
    }
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#inProgress.delete(tracked));
    this.#inProgress.add(tracked);
  }
}
