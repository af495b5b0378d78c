// The sessions that a host serves: the slot of each, and the answers to assign and release.
import type { Entry } from "../../../libs/bus/bus.ts";
import type { ServiceDeps } from "../../../libs/bus/service-deps.ts";
import { sessions } from "../../../libs/contracts/buckets.ts";
import { GreenroomError, isError } from "../../../libs/contracts/errors.ts";
import type { Assign, AssignAnswer, Release, ReleaseAnswer } from "../../../libs/contracts/fleet/host.ts";
import {
  type AttemptRef,
  attemptKey,
  attemptRefOf,
  isSameSession,
  sessionKey,
} from "../../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { readMetadataText } from "../../../libs/fleet/stored-texts.ts";
import { sleep } from "../../../libs/runtime/clock.ts";
import type { AgentPool } from "../pool/agent-pool.ts";
import type { Slot } from "../pool/slots.ts";
import type { ConversationStore } from "./conversation-store.ts";

interface Deps extends ServiceDeps {
  readonly hostId: string;
  readonly epoch: () => number;
  readonly pools: ReadonlyMap<string, AgentPool>;
  readonly conversations: Pick<ConversationStore, "previousFor">;
  /** The reason for which the host takes no sessions now; undefined while it takes them. */
  readonly refusal: () => string | undefined;
}

interface Served {
  readonly pool: AgentPool;
  readonly slot: Slot;
}

const MAX_ANSWERS = 2000;
/** Most agents leave their rooms in a fraction of this time. No caller is kept in a dead room for longer. */
const LEAVE_TIMEOUT_MS = 1000;

/** Owns the assignments of a host. An assignment goes when its agent has ended, is lost or is closed. */
export class Assignments {
  readonly #deps: Deps;
  /** By attempt, so that a late assign of an old attempt does not touch the agent of a newer one. */
  readonly #served = new Map<string, Served>();
  /** By attempt: agents that have ended their session, and are still in its room. */
  readonly #leaving = new Map<string, Slot>();
  /** By attempt: a repeated assign gets the same answer, even if an agent is free by then (I9). */
  readonly #answers = new Map<string, Promise<AssignAnswer>>();
  assigned = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  get count(): number {
    return this.#served.size;
  }

  /** Answers an assign. A repeated assign starts no second job. */
  handleAssign(assign: Assign): Promise<AssignAnswer> {
    const key = attemptKey(assign);
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    const answer = this.#decide(assign, key);
    this.#answers.set(key, answer);
    // A failure to reach the store is no answer to remember.
    answer.catch(() => this.#answers.delete(key));
    const oldest = this.#answers.keys().next();
    if (this.#answers.size > MAX_ANSWERS && !oldest.done) this.#answers.delete(oldest.value);
    return answer;
  }

  async handleRelease(release: Release): Promise<ReleaseAnswer> {
    const key = attemptKey(release);
    const served = this.#served.get(key);
    const { reason, untilLeft = false } = release;
    // Only the end of the session waits for its agent.
    served?.pool.release(served.slot, reason, !untilLeft);
    const slot = served?.slot ?? this.#leaving.get(key);
    if (untilLeft && slot !== undefined)
      await Promise.race([slot.left.promise, sleep(this.#deps.clock, LEAVE_TIMEOUT_MS)]);
    return { released: served !== undefined };
  }

  /** Removes the assignment of a slot that serves its session no more. */
  forget(slot: Slot): void {
    const { assignment } = slot;
    if (assignment === undefined) return;
    const key = attemptKey(assignment);
    if (this.#served.get(key)?.slot !== slot) return;
    this.#served.delete(key);
    if (slot.state !== "closing") return;
    this.#leaving.set(key, slot);
    void slot.left.promise.then(() => this.#leaving.delete(key));
  }

  /**
   * Releases the sessions without a record, and those whose record names another attempt or host. This host was taken for
   * dead, or a release never reached it. While the store is unavailable, calls continue.
   */
  async checkRecords(): Promise<void> {
    const checks = await Promise.allSettled(
      [...this.#served].map(([key, served]) => this.#checkRecord(key, served)),
    );
    for (const check of checks) if (check.status === "rejected") throw check.reason;
  }

  async #checkRecord(key: string, { pool, slot }: Served): Promise<void> {
    const { assignment } = slot;
    if (assignment === undefined || slot.state === "closing") return;
    const entry = await this.#readRecord(sessionKey(assignment));
    if (entry === "unreadable" || (entry !== undefined && this.#mayServe(entry.value, assignment))) return;
    if (this.#served.get(key)?.slot !== slot) return;
    const { sessionId, attempt } = assignment;
    const reason = "the session continues elsewhere or has ended";
    this.#deps.log.warn({ sessionId, attempt, reason }, "releasing a stale assignment");
    pool.release(slot, reason, true);
  }

  /** An unreadable record proves nothing about its session, and must not prevent the other checks. */
  async #readRecord(key: string): Promise<Entry<SessionRecord> | "unreadable" | undefined> {
    try {
      return await this.#deps.bus.kv.get(sessions, key);
    } catch (error) {
      if (isError(error, "unreadable_record")) return "unreadable";
      throw error;
    }
  }

  async #decide(assign: Assign, key: string): Promise<AssignAnswer> {
    const { clock, conversations, epoch, pools, refusal } = this.#deps;
    const { profile, requestedWarmth } = assign;
    if (assign.epoch !== epoch()) return { verdict: "stale", reason: `this host's epoch is ${epoch()}` };
    const reason = refusal();
    if (reason !== undefined) return { verdict: "declined", reason };
    const pool = pools.get(profile);
    if (pool === undefined) return { verdict: "declined", reason: `this host has no profile ${profile}` };
    const now = clock.monotonic();
    const slot = pool.take(requestedWarmth, {
      ...attemptRefOf(assign),
      takenAtMs: now,
      job: undefined,
      readyAtMs: undefined,
      lastActiveAtMs: now,
      userJoined: false,
      isReleased: false,
    });
    if (slot === undefined)
      return { verdict: "declined", reason: `no ${requestedWarmth} agent of ${profile} is free` };
    this.#served.set(key, { pool, slot });
    const [recordReason, metadata, resumes] = await Promise.all([
      this.#staleReason(assign),
      this.#metadata(assign),
      conversations.previousFor(assign),
    ]);
    const staleReason =
      recordReason ?? (metadata === undefined ? "the metadata could not be read" : undefined);
    if (metadata === undefined || staleReason !== undefined || slot.assignment?.isReleased) {
      this.#served.delete(key);
      pool.giveBack(slot);
      return { verdict: "stale", reason: staleReason ?? "the attempt was already released" };
    }
    this.assigned += 1;
    this.#releaseOlder(assign);
    pool.run(slot, {
      ...attemptRefOf(assign),
      room: assign.room,
      ...(assign.liveKitRoom === undefined ? {} : { liveKitRoom: assign.liveKitRoom }),
      token: assign.token,
      identity: assign.identity,
      user: assign.user,
      metadata,
      recovering: assign.recovering,
      ...(assign.callee === undefined ? {} : { callee: assign.callee }),
      ...(resumes === undefined ? {} : { resumes }),
    });
    return { verdict: "accepted" };
  }

  /** An older attempt of the session may still run here, although its record names the newest one. */
  #releaseOlder(newest: AttemptRef): void {
    for (const { pool, slot } of [...this.#served.values()]) {
      const { assignment } = slot;
      if (assignment === undefined || !isSameSession(assignment, newest)) continue;
      if (assignment.attempt < newest.attempt) pool.release(slot, "the session has a newer attempt", true);
    }
  }

  /** Undefined if large metadata can't be read now, or was deleted. */
  async #metadata(assign: Assign): Promise<string | undefined> {
    try {
      return await readMetadataText(this.#deps.bus, assign, assign.storedMetadata);
    } catch (error) {
      if (!(error instanceof GreenroomError)) throw error;
      this.#deps.log.warn({ error, ...attemptRefOf(assign) }, "failed to read the metadata of a session");
      return undefined;
    }
  }

  /** Reads the record before an agent joins: a late assign must not bring a second agent into a room (I9). */
  async #staleReason(ref: AttemptRef): Promise<string | undefined> {
    try {
      const entry = await this.#deps.bus.kv.get(sessions, sessionKey(ref));
      if (entry === undefined) return "the session has no record";
      return this.#isCurrentAttempt(entry.value, ref) ? undefined : "the record names another attempt";
    } catch (error) {
      if (!isError(error, "storage_unavailable") && !isError(error, "unreadable_record")) throw error;
      return "the record could not be read";
    }
  }

  /** An attempt that migrates serves until the next attempt is in the room. */
  #mayServe(record: SessionRecord, ref: AttemptRef): boolean {
    const { previous, state } = record;
    const isKept =
      previous?.keepUntilReplaced === true &&
      previous.attempt === ref.attempt &&
      previous.host === this.#deps.hostId &&
      previous.hostEpoch === this.#deps.epoch() &&
      (state === "requested" || state === "dispatched");
    return isKept || this.#isCurrentAttempt(record, ref);
  }

  #isCurrentAttempt(record: SessionRecord, { attempt }: AttemptRef): boolean {
    return (
      record.state !== "ended" &&
      record.attempt === attempt &&
      record.host === this.#deps.hostId &&
      record.hostEpoch === this.#deps.epoch()
    );
  }
}
