// Makes a call record of every session that has ended, and again when news of it comes late.
import type { Bus, Stop } from "../../libs/bus/bus.ts";
import { STORE_TIMEOUT_MS } from "../../libs/bus/delivery-rules.ts";
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
import { type Clock, sleep } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";

export interface RecordCallsDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: {
    readonly reportWaitMs: number;
    readonly lookbackDays: number;
  };
  /** A call is stored, for the first time or anew; perhaps told more than once. */
  readonly onRecorded: (call: CallRecord) => void;
}

/** Most of those in hand wait for a report, which costs nothing. */
const IN_HAND = 500;
const LOOK_MS = 250;
const DAY_MS = 24 * 60 * 60 * 1000;
/** By then a write whose answer never came is stored, or never will be. */
const LATE_MS = 2 * STORE_TIMEOUT_MS + 5000;
/** News that comes while a record is written is put in at once; more often than this nothing changes so fast. */
const TRIES = 5;

/** All instances share the work; what two of them do at the same time comes to the same. */
export async function recordCalls(deps: RecordCallsDeps): Promise<{ lagMs(): number; stop: Stop }> {
  const writer = new CallWriter(deps);
  const { bus } = deps;
  const stops = await Promise.all([
    bus.kv.consume(sessions, { durable: "calls", concurrency: IN_HAND }, async ({ value }) => {
      if (value !== undefined) await writer.onSession(value);
      return "ack";
    }),
    bus.kv.consume(usageReports, { durable: "calls", concurrency: 50 }, async ({ value }) => {
      if (value !== undefined) await writer.onNews(value);
      return "ack";
    }),
    bus.kv.consume(launches, { durable: "calls", concurrency: 50 }, async ({ value }) => {
      if (value?.call !== undefined) await writer.onNews(value);
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
  /** The sessions that are looked at again. */
  readonly #later = new Set<string>();

  constructor(deps: RecordCallsDeps) {
    this.#deps = deps;
  }

  /** How far behind the last ones were that came; 0 when none came for a while. By the clocks of who spoke. */
  lagMs(): number {
    const { clock } = this.#deps;
    return clock.monotonic() - this.#lagAtMs < 60_000 ? this.#lagMs : 0;
  }

  /** Whoever waits for a report waits no longer. */
  hurry(): void {
    this.#isStopping = true;
  }

  async onSession(record: SessionRecord): Promise<void> {
    if (!hasEnded(record)) return;
    await this.#waitForReports(record);
    await this.#record(record);
    this.#noteLag(record);
  }

  /** A report or a launch changed. If the call is recorded already, it is recorded again. */
  async onNews(session: SessionRef): Promise<void> {
    await this.#again(session, this.#deps.settings.lookbackDays * DAY_MS);
  }

  /** Records a call again that is stored, and ended no longer ago than that. */
  async #again(session: SessionRef, maxAgeMs: number): Promise<void> {
    const { bus, clock } = this.#deps;
    const entry = await readable(bus.kv.get(sessions, sessionKey(session)));
    const record = entry?.value;
    // Of one that goes on, or whose record is gone, there is nothing to record (any more).
    if (record === undefined || !hasEnded(record)) return;
    if (clock.now() - Date.parse(endedAtOf(record)) > maxAgeMs) return;
    if ((await this.#storedOf(record)) === undefined) return;
    await this.#record(record);
  }

  async #waitForReports(record: EndedSession): Promise<void> {
    const { clock, settings } = this.#deps;
    const due = clock.monotonic() + settings.reportWaitMs;
    // Who answers for an external provider measures nothing.
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
   * Stores the call, and looks again afterwards: what came while it was stored, and was seen by somebody who found
   * no call yet, is in it then. So the last word is always made of all that there was.
   */
  async #record(record: EndedSession): Promise<void> {
    const { bus, log, onRecorded } = this.#deps;
    let stored = await this.#storedOf(record);
    for (let tries = 0; tries < TRIES; tries++) {
      const call = buildCall(record, await this.#reportsOf(record), await this.#launchesOf(record));
      // Told also of what was stored before: whoever stored it may have died before it told anybody.
      if (stored !== undefined && isSame(call, stored)) return onRecorded(call);
      await bus.streams.publish(calls, call).catch((error: unknown) => {
        this.#lookLater(record);
        throw error;
      });
      log.debug({ sessionId: record.sessionId, outcome: call.outcome }, "a call is recorded");
      stored = call;
    }
    if (stored !== undefined) onRecorded(stored);
  }

  /** What could not be stored may be stored yet, over what is stored meanwhile. */
  #lookLater(session: SessionRef): void {
    const { clock, log } = this.#deps;
    const key = sessionKey(session);
    if (this.#later.has(key)) return;
    this.#later.add(key);
    clock.after(LATE_MS, () => {
      this.#later.delete(key);
      if (this.#isStopping) return;
      this.#again(session, Number.POSITIVE_INFINITY).catch((error: unknown) => {
        log.debug(
          { sessionId: session.sessionId, error },
          "a call could not be looked at again; it is tried later",
        );
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

/** A record that nobody can read must not keep the others from being recorded. */
const readable = <T>(reading: Promise<T>): Promise<T | undefined> =>
  reading.catch((error: unknown) => {
    if (isError(error, "unreadable_record")) return undefined;
    throw error;
  });

/** As text, in which the order of the fields is that of the schema on both sides. */
const isSame = (a: CallRecord, b: CallRecord): boolean =>
  JSON.stringify(calls.schema.parse(a)) === JSON.stringify(b);
