// Builds a call record of every ended session, and again when its usage or launches change later.
import type { Stop } from "../../libs/bus/bus.ts";
import { STORE_TIMEOUT_MS } from "../../libs/bus/delivery-rules.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { launches, sessions, usageReports } from "../../libs/contracts/buckets.ts";
import { type CallRecord, callSubject, dayOf, type UsageReport } from "../../libs/contracts/calls/call.ts";
import { isError } from "../../libs/contracts/errors.ts";
import { attemptKey, type SessionRef, sessionKey } from "../../libs/contracts/ids.ts";
import { isExternal, type LaunchRecord } from "../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { calls } from "../../libs/contracts/streams.ts";
import {
  buildCall,
  type EndedSession,
  endedAtOf,
  hasEnded,
  readyAttempts,
} from "../../libs/domain/call/build-call.ts";
import { sleep } from "../../libs/runtime/clock.ts";

export interface RecordCallsDeps extends ServiceDeps {
  readonly settings: {
    readonly reportWaitMs: number;
    readonly lookbackDays: number;
  };
  /** Called after each write of a call record, perhaps more than once. */
  readonly onRecorded: (call: CallRecord) => void;
}

/** Most sessions in progress only wait for a report, which is cheap. */
const CONCURRENCY = 500;
const LOOK_MS = 250;
const DAY_MS = 24 * 60 * 60 * 1000;
/** After this time, a write without an answer is either stored or lost. */
const LATE_MS = 2 * STORE_TIMEOUT_MS + 5000;
/** Changes during a write are included at once. More changes than this do not occur that fast. */
const TRIES = 5;

/** Runs until stopped. The instances share the work, and doing it twice is harmless. */
export async function recordCalls(deps: RecordCallsDeps): Promise<{ lagMs(): number; stop: Stop }> {
  const writer = new CallWriter(deps);
  const { bus } = deps;
  const durable = { durable: "calls", description: "Calls service: records calls." };
  const stops = await Promise.all([
    bus.kv.consume(sessions, { ...durable, concurrency: CONCURRENCY }, async ({ value }) => {
      if (value !== undefined) await writer.onSession(value);
      return "ack";
    }),
    bus.kv.consume(usageReports, { ...durable, concurrency: 50 }, async ({ value }) => {
      if (value !== undefined) await writer.onChange(value);
      return "ack";
    }),
    bus.kv.consume(launches, { ...durable, concurrency: 50 }, async ({ value }) => {
      if (value?.call !== undefined) await writer.onChange(value);
      return "ack";
    }),
  ]);
  return {
    lagMs: () => writer.lagMs(),
    async stop() {
      writer.hurry();
      await Promise.all(stops.map((stop) => stop()));
    },
  };
}

class CallWriter {
  readonly #deps: RecordCallsDeps;
  #lagMs = 0;
  #lagAtMs = Number.NEGATIVE_INFINITY;
  #isStopping = false;
  /** Sessions that are due for another look. */
  readonly #later = new Set<string>();

  constructor(deps: RecordCallsDeps) {
    this.#deps = deps;
  }

  /** The lag of the newest records; 0 when there were none for a while. Uses the clocks of other machines. */
  lagMs(): number {
    const { clock } = this.#deps;
    return clock.monotonic() - this.#lagAtMs < 60_000 ? this.#lagMs : 0;
  }

  /** Ends all waits for reports. */
  hurry(): void {
    this.#isStopping = true;
  }

  async onSession(record: SessionRecord): Promise<void> {
    if (!hasEnded(record)) return;
    await this.#waitForReports(record);
    await this.#record(record);
    this.#noteLag(record);
  }

  /** A report or a launch changed. Rebuilds the call record if there is one. */
  async onChange(session: SessionRef): Promise<void> {
    await this.#again(session, this.#deps.settings.lookbackDays * DAY_MS);
  }

  /** Rebuilds a stored call record whose call ended at most `maxAgeMs` ago. */
  async #again(session: SessionRef, maxAgeMs: number): Promise<void> {
    const { bus, clock } = this.#deps;
    const entry = await readable(bus.kv.get(sessions, sessionKey(session)));
    const record = entry?.value;
    // A session that goes on is recorded later, and one without a record can't be.
    if (record === undefined || !hasEnded(record)) return;
    if (clock.now() - Date.parse(endedAtOf(record)) > maxAgeMs) return;
    if ((await this.#storedOf(record)) === undefined) return;
    await this.#record(record);
  }

  async #waitForReports(record: EndedSession): Promise<void> {
    const { clock, settings } = this.#deps;
    const due = clock.monotonic() + settings.reportWaitMs;
    // External providers report no usage.
    if (isExternal(record.provider)) return;
    const ready = readyAttempts(record);
    while (clock.monotonic() < due && !this.#isStopping) {
      const reports = await this.#reportsOf(record);
      const over = reports.filter(({ ended }) => ended !== undefined).map(({ attempt }) => attempt);
      if (ready.every((attempt) => over.includes(attempt))) return;
      await sleep(clock, LOOK_MS);
    }
  }

  /**
   * Stores the call record, and builds it again afterwards. A change during the write may have been handled by an
   * instance that found no call record yet. The last version therefore always contains everything.
   */
  async #record(record: EndedSession): Promise<void> {
    const { bus, log, onRecorded } = this.#deps;
    let stored = await this.#storedOf(record);
    for (let tries = 0; tries < TRIES; tries++) {
      const call = buildCall(record, await this.#reportsOf(record), await this.#launchesOf(record));
      // Reported for an unchanged record too: the instance that stored it may have died before it reported.
      if (stored !== undefined && isSame(call, stored)) return onRecorded(call);
      await bus.streams.publish(calls, call).catch((error: unknown) => {
        this.#lookLater(record);
        throw error;
      });
      log.debug({ sessionId: record.sessionId, outcome: call.outcome }, "recorded a call");
      stored = call;
    }
    if (stored !== undefined) onRecorded(stored);
  }

  /** A failed write may still be stored late, over a newer version. */
  #lookLater(session: SessionRef): void {
    const { clock, log } = this.#deps;
    const key = sessionKey(session);
    if (this.#later.has(key)) return;
    this.#later.add(key);
    clock.after(LATE_MS, () => {
      this.#later.delete(key);
      if (this.#isStopping) return;
      this.#again(session, Number.POSITIVE_INFINITY).catch((error: unknown) => {
        log.debug({ sessionId: session.sessionId, error, retrying: true }, "failed to record a call again");
        this.#lookLater(session);
      });
    });
  }

  async #storedOf(record: EndedSession): Promise<CallRecord | undefined> {
    const subject = callSubject(record.tenant, dayOf(endedAtOf(record)), record.sessionId);
    const { bus } = this.#deps;
    const [stored] = await bus.streams.read(calls, { subject, limit: 1, order: "newest-first" });
    return stored?.message;
  }

  async #reportsOf(record: EndedSession): Promise<UsageReport[]> {
    const { bus } = this.#deps;
    const entries = await Promise.all(
      readyAttempts(record).map((attempt) =>
        readable(bus.kv.get(usageReports, attemptKey({ ...record, attempt }))),
      ),
    );
    return entries.flatMap((entry) => entry?.value ?? []);
  }

  async #launchesOf(record: EndedSession): Promise<LaunchRecord[]> {
    if (record.call === undefined) return [];
    const attempts = [...new Set(record.history.map(({ attempt }) => attempt))];
    const entries = await Promise.all(
      attempts.map((attempt) =>
        readable(this.#deps.bus.kv.get(launches, attemptKey({ ...record, attempt }))),
      ),
    );
    return entries.flatMap((entry) => entry?.value ?? []);
  }

  #noteLag(record: EndedSession): void {
    const { clock, settings } = this.#deps;
    this.#lagMs = Math.max(0, clock.now() - Date.parse(endedAtOf(record)) - settings.reportWaitMs);
    this.#lagAtMs = clock.monotonic();
  }
}

/** An unreadable record must not block the other calls. */
const readable = <T>(reading: Promise<T>): Promise<T | undefined> =>
  reading.catch((error: unknown) => {
    if (isError(error, "unreadable_record")) return undefined;
    throw error;
  });

/** Compares JSON in the field order of the schema. */
const isSame = (a: CallRecord, b: CallRecord): boolean =>
  JSON.stringify(calls.schema.parse(a)) === JSON.stringify(b);
