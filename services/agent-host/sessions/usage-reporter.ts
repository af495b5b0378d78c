// Stores the usage report of each attempt: at an interval, and at its end.
import { RecordWriter } from "../../../libs/bus/record-writer.ts";
import type { ServiceDeps } from "../../../libs/bus/service-deps.ts";
import { usageReports } from "../../../libs/contracts/buckets.ts";
import type { AgentUsage, UsageReport } from "../../../libs/contracts/calls/call.ts";
import { attemptKey, attemptRefOf } from "../../../libs/contracts/ids.ts";
import { isoNow } from "../../../libs/runtime/clock.ts";
import type { Assignment } from "../pool/slots.ts";

interface Deps extends ServiceDeps {
  readonly hostId: string;
}

interface Kept {
  readonly assignment: Assignment;
  readonly profile: string;
  readonly writer: RecordWriter<UsageReport>;
  measures: AgentUsage | undefined;
  cancel: (() => void) | undefined;
}

/** A host that dies loses at most this much. A shorter call costs one write, at its end. */
const STORE_MS = 30_000;
/** Longer than NATS needs to recover. Without the report, the call record has fewer figures. */
const GIVE_UP_MS = 120_000;
const REASON_MAX = 240;

export class UsageReporter {
  readonly #deps: Deps;
  readonly #kept = new Map<Assignment, Kept>();
  readonly #finished = new WeakSet<Assignment>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** The agent reported its usage so far. */
  note(assignment: Assignment, profile: string, measures: AgentUsage): void {
    const kept = this.#keep(assignment, profile);
    if (kept === undefined) return;
    kept.measures = measures;
    kept.cancel ??= this.#deps.clock.after(STORE_MS, () => this.#store(kept));
  }

  /** Stores the usage so far, since another host continues the session soon. */
  storeNow(assignment: Assignment): void {
    const kept = this.#kept.get(assignment);
    if (kept !== undefined) this.#store(kept);
  }

  /** Stores the usage of an attempt that is over. An agent that never became ready has none worth a write. */
  finish(assignment: Assignment, profile: string): void {
    const kept = this.#keep(assignment, profile);
    this.#finished.add(assignment);
    if (kept === undefined) return;
    kept.cancel?.();
    if (assignment.readyAtMs !== undefined) this.#store(kept);
    void kept.writer.flush().then(() => this.#kept.delete(assignment));
  }

  /** Waits until every report that was due is stored. */
  async flush(): Promise<void> {
    await Promise.all([...this.#kept.values()].map(({ writer }) => writer.flush()));
  }

  #keep(assignment: Assignment, profile: string): Kept | undefined {
    if (this.#finished.has(assignment)) return undefined;
    const present = this.#kept.get(assignment);
    if (present !== undefined) return present;
    const { bus, clock, log } = this.#deps;
    const { sessionId, attempt } = assignment;
    const writer = new RecordWriter({
      ...{ bus, clock, log, bucket: usageReports, key: attemptKey(assignment) },
      ...{ what: "the usage of an agent", fields: { sessionId, attempt } },
      mayRetry: (failingForMs) => failingForMs <= GIVE_UP_MS,
    });
    const kept: Kept = { assignment, profile, writer, measures: undefined, cancel: undefined };
    this.#kept.set(assignment, kept);
    return kept;
  }

  #store(kept: Kept): void {
    kept.cancel?.();
    kept.cancel = undefined;
    kept.writer.write(() => this.#reportOf(kept));
  }

  #reportOf({ assignment, profile, measures }: Kept): UsageReport {
    const { clock, hostId } = this.#deps;
    const { over, readyAtMs, joinMs, readyMs } = assignment;
    const servedMs = readyAtMs === undefined ? 0 : (over?.atMs ?? clock.monotonic()) - readyAtMs;
    return {
      v: 1,
      ...attemptRefOf(assignment),
      profile,
      host: hostId,
      warm: assignment.warmth,
      ...(joinMs === undefined ? {} : { joinMs }),
      ...(readyMs === undefined ? {} : { readyMs }),
      servedMs: Math.max(0, Math.round(servedMs)),
      ...(over === undefined ? {} : { ended: over.how, reason: over.reason.slice(0, REASON_MAX) }),
      ...(measures === undefined ? {} : { usage: measures }),
      at: isoNow(clock),
    };
  }
}
