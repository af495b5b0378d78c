// Guards the purge of ended sessions: where calls are recorded, a session waits for its call record.
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { callRecording } from "../../libs/contracts/buckets.ts";
import { CALL_RECORDING_KEY, callSubject, dayOf } from "../../libs/contracts/calls/call.ts";
import { isError } from "../../libs/contracts/errors.ts";
import { calls } from "../../libs/contracts/streams.ts";
import { type EndedSession, endedAtOf } from "../../libs/domain/call/build-call.ts";

/** How often to look for the mark of a calls service until there is one. */
const CHECK_MS = 60_000;
/** A session without a call record is kept this many times longer, and then purged to bound the bucket. */
const UNRECORDED_FACTOR = 7;

export class PurgeGuard {
  readonly #deps: ServiceDeps;
  #areCallsRecorded = false;
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: ServiceDeps) {
    this.#deps = deps;
  }

  /**
   * @param keptMs the time since the end of the session
   * @param keepMs how long sessions are kept
   */
  async canPurge(record: EndedSession, keptMs: number, keepMs: number): Promise<boolean> {
    if (!(await this.#isRecordedHere()) || (await this.#isRecorded(record))) return true;
    if (keptMs < UNRECORDED_FACTOR * keepMs) return false;
    this.#deps.log.warn({ sessionId: record.sessionId, keptMs }, "purged a session without a call record");
    return true;
  }

  async #isRecordedHere(): Promise<boolean> {
    const { bus, clock } = this.#deps;
    if (this.#areCallsRecorded || clock.monotonic() - this.#lookedAtMs < CHECK_MS)
      return this.#areCallsRecorded;
    try {
      this.#areCallsRecorded = (await bus.kv.get(callRecording, CALL_RECORDING_KEY)) !== undefined;
    } catch (error) {
      if (!isError(error, "unreadable_record")) throw error;
      this.#areCallsRecorded = true;
    }
    this.#lookedAtMs = clock.monotonic();
    return this.#areCallsRecorded;
  }

  async #isRecorded(record: EndedSession): Promise<boolean> {
    const subject = callSubject(record.tenant, dayOf(endedAtOf(record)), record.sessionId);
    return (await this.#deps.bus.streams.lastSequence(calls, subject)) > 0;
  }
}
