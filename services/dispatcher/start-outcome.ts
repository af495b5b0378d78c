// The outcome of a start on a host: counted by the circuit breaker, and excused where the host is at fault.
import { isProviderHost } from "../../libs/contracts/providers/provider.ts";
import type { SessionEvent, SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { reduceSession } from "../../libs/domain/session/reduce.ts";
import type { CircuitBreaker } from "./circuit-breaker.ts";

type Input = Exclude<SessionEvent, { type: "requested" }>;

/** Lives for the handling of one event. The outcome is counted once the record is saved. */
export class StartOutcome {
  readonly #circuitBreaker: Pick<CircuitBreaker, "succeeded" | "failed" | "isAtFault">;
  #count: () => void = () => {};

  constructor(circuitBreaker: Pick<CircuitBreaker, "succeeded" | "failed" | "isAtFault">) {
    this.#circuitBreaker = circuitBreaker;
  }

  /** The record after the event. A failure that is the host's fault costs the session no attempt. */
  reduce(record: SessionRecord, event: Input): SessionRecord {
    const next = reduceSession(record, event);
    this.#count = () => {};
    const { host, profile, attempt } = record;
    if (host === undefined || isProviderHost(host) || !isStarting(record)) return next;
    if (next.state === "ready") this.#count = () => this.#circuitBreaker.succeeded(record);
    if (next.failures === record.failures) return next;
    const reason = next.history.at(-1)?.reason ?? event.type;
    this.#count = () => this.#circuitBreaker.failed(record, reason);
    const isHostAtFault = this.#circuitBreaker.isAtFault(host, profile) || isCausedByHost(event);
    if (!isExcusable(record) || !isHostAtFault) return next;
    return reduceSession(record, { type: "host_failed", attempt, host, reason, at: event.at });
  }

  count(): void {
    this.#count();
    this.#count = () => {};
  }
}

const isCausedByHost = (event: Input): boolean => "cause" in event && event.cause === "host";

const isStarting = ({ state }: SessionRecord): boolean => state === "dispatched" || state === "joined";

/** A session that finds no other host must end at some time. */
const isExcusable = ({ attempt, failures, maxAttempts }: SessionRecord): boolean =>
  attempt - failures <= maxAttempts;
