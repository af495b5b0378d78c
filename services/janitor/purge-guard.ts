// Which ended sessions may be purged: where calls are recorded, only those whose call is.
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { callRecording } from "../../libs/contracts/buckets.ts";
import { CALL_RECORDING_KEY, callSubject, dayOf } from "../../libs/contracts/calls/call.ts";
import { isError } from "../../libs/contracts/errors.ts";
import { calls } from "../../libs/contracts/streams.ts";
import { type EndedSession, endedAtOf } from "../../libs/domain/call/build-call.ts";

type Deps = ServiceDeps;

/** As long as no calls service has run here, the mark is looked for this often. */
const LOOK_MS = 60_000;
/** So many times as long as others a session is kept whose call nobody records; the bucket must not grow for ever. */
const LONGER = 7;

export class PurgeGuard {
  readonly #deps: Deps;
  #areCallsRecorded = false;
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /**
   * @param keptMs for how long it has been kept since its end
   * @param keepMs how long sessions are kept
   */
  async canPurge(record: EndedSession, keptMs: number, keepMs: number): Promise<boolean> {
    if (!(await this.#isRecordedHere()) || (await this.#isRecorded(record))) return true;
    if (keptMs < LONGER * keepMs) return false;
    this.#deps.log.warn(
      { sessionId: record.sessionId, keptMs },
      "a session is purged whose call nobody recorded",
    );
    return true;
  }

  async #isRecordedHere(): Promise<boolean> {
    const { bus, clock } = this.#deps;
    if (this.#areCallsRecorded || clock.monotonic() - this.#lookedAtMs < LOOK_MS)
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
