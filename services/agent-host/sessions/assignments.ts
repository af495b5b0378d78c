// The sessions that a host serves: which slot has which, and what it answered to whom.
import type { Bus, Entry } from "../../../libs/bus/bus.ts";
import { sessions } from "../../../libs/contracts/buckets.ts";
import { isError } from "../../../libs/contracts/errors.ts";
import type { Assign, AssignAnswer, Release, ReleaseAnswer } from "../../../libs/contracts/fleet/host.ts";
import {
  type AttemptRef,
  attemptKey,
  attemptRefOf,
  isSameSession,
  sessionKey,
} from "../../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { type Clock, sleep } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { AgentPool } from "../pool/agent-pool.ts";
import type { Slot } from "../pool/slots.ts";
import type { ConversationStore } from "./conversation-store.ts";

interface Deps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly hostId: string;
  readonly epoch: () => number;
  readonly pools: ReadonlyMap<string, AgentPool>;
  readonly conversations: Pick<ConversationStore, "previousFor">;
  /** Why the host takes nothing now; undefined while it does. */
  readonly refuses: () => string | undefined;
}

interface Served {
  readonly pool: AgentPool;
  readonly slot: Slot;
}

const ANSWERS_KEPT = 2000;
/** Most agents are out of their rooms within a fraction of it; a caller isn't kept in a dead room for longer. */
const LEAVING_MS = 1000;

export class Assignments {
  readonly #deps: Deps;
  /** By session and attempt: a late assign of an old attempt must not touch the agent of a newer one. */
  readonly #served = new Map<string, Served>();
  /** By session and attempt: asked again, it gives the same answer, also when something is free by then. */
  readonly #answers = new Map<string, Promise<AssignAnswer>>();
  assigned = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  get count(): number {
    return this.#served.size;
  }

  /** Answers an assign. Two tellings of one (session, attempt) start one job. */
  handleAssign(assign: Assign): Promise<AssignAnswer> {
    const key = attemptKey(assign);
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    const answer = this.#decide(assign, key);
    this.#answers.set(key, answer);
    // A store that could not be asked is no answer to remember.
    answer.catch(() => this.#answers.delete(key));
    const oldest = this.#answers.keys().next();
    if (this.#answers.size > ANSWERS_KEPT && !oldest.done) this.#answers.delete(oldest.value);
    return answer;
  }

  async handleRelease(release: Release): Promise<ReleaseAnswer> {
    const served = this.#served.get(attemptKey(release));
    if (served === undefined) return { released: false };
    const { pool, slot } = served;
    pool.release(slot, release.reason);
    if (release.untilLeft) await Promise.race([slot.left.promise, sleep(this.#deps.clock, LEAVING_MS)]);
    return { released: true };
  }

  /** The slot is free of its session: it ended, was lost or closed. */
  forget(slot: Slot): void {
    const { assignment } = slot;
    if (assignment === undefined) return;
    const key = attemptKey(assignment);
    if (this.#served.get(key)?.slot === slot) this.#served.delete(key);
  }

  /**
   * Lets go of sessions whose record names another attempt, another host or none: this host was taken for
   * dead, or a release never reached it. While the store can't be asked, calls go on.
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
    const entry = await this.#readAgain(sessionKey(assignment));
    if (entry === "unreadable" || (entry !== undefined && this.#mayServe(entry.value, assignment))) return;
    if (this.#served.get(key)?.slot !== slot) return;
    const { sessionId, attempt } = assignment;
    this.#deps.log.warn({ sessionId, attempt }, "the session goes on elsewhere or is over; leaving its room");
    pool.release(slot, "the session goes on elsewhere or is over");
  }

  /** One record that nobody can read says nothing of its session, and must not keep the others from being read. */
  async #readAgain(key: string): Promise<Entry<SessionRecord> | "unreadable" | undefined> {
    try {
      return await this.#deps.bus.kv.get(sessions, key);
    } catch (error) {
      if (isError(error, "unreadable_record")) return "unreadable";
      throw error;
    }
  }

  async #decide(assign: Assign, key: string): Promise<AssignAnswer> {
    const { clock, epoch, pools, refuses } = this.#deps;
    if (assign.epoch !== epoch()) return { verdict: "stale", reason: `this host's epoch is ${epoch()}` };
    const refusal = refuses();
    if (refusal !== undefined) return { verdict: "declined", reason: refusal };
    const pool = pools.get(assign.profile);
    if (pool === undefined)
      return { verdict: "declined", reason: `there is no profile ${assign.profile} here` };
    const now = clock.monotonic();
    const slot = pool.take(assign.requestedWarmth, {
      ...attemptRefOf(assign),
      takenAtMs: now,
      job: undefined,
      readyAtMs: undefined,
      lastActiveAtMs: now,
      userJoined: false,
      isReleased: false,
    });
    if (slot === undefined)
      return {
        verdict: "declined",
        reason: `no ${assign.requestedWarmth} agent of ${assign.profile} is free`,
      };
    this.#served.set(key, { pool, slot });
    const [refused, resumes] = await Promise.all([
      this.#isNotNamed(assign),
      this.#deps.conversations.previousFor(assign),
    ]);
    if (refused !== undefined || slot.assignment?.isReleased) {
      this.#served.delete(key);
      pool.giveBack(slot);
      return { verdict: "stale", reason: refused ?? "it was released again" };
    }
    this.assigned += 1;
    this.#releaseOlder(assign);
    pool.run(slot, {
      ...attemptRefOf(assign),
      room: assign.room,
      token: assign.token,
      identity: assign.identity,
      user: assign.user,
      metadata: JSON.stringify(assign.metadata),
      recovering: assign.recovering,
      ...(assign.callee === undefined ? {} : { callee: assign.callee }),
      ...(resumes === undefined ? {} : { resumes }),
    });
    return { verdict: "accepted" };
  }

  /** An older attempt of this very session may still run here; now that the record names this one, it goes. */
  #releaseOlder(newest: AttemptRef): void {
    for (const { pool, slot } of [...this.#served.values()]) {
      const { assignment } = slot;
      if (assignment === undefined || !isSameSession(assignment, newest)) continue;
      if (assignment.attempt < newest.attempt) pool.release(slot, "the session has a newer attempt");
    }
  }

  /** Before an agent joins, the record is read: a late assign must not bring a second agent into a room. */
  async #isNotNamed(ref: AttemptRef): Promise<string | undefined> {
    try {
      const entry = await this.#deps.bus.kv.get(sessions, sessionKey(ref));
      if (entry === undefined) return "the session has no record";
      return this.#names(entry.value, ref) ? undefined : "the record names another attempt";
    } catch (error) {
      if (!isError(error, "storage_unavailable") && !isError(error, "unreadable_record")) throw error;
      return "the record could not be read";
    }
  }

  /** The record names it, or lets it go on until the next attempt is in the room. */
  #mayServe(record: SessionRecord, ref: AttemptRef): boolean {
    const { previous: former, state } = record;
    const keepUntilReplaced =
      former?.keepUntilReplaced === true &&
      former.attempt === ref.attempt &&
      former.host === this.#deps.hostId &&
      former.hostEpoch === this.#deps.epoch() &&
      (state === "requested" || state === "dispatched");
    return keepUntilReplaced || this.#names(record, ref);
  }

  #names(record: SessionRecord, { attempt }: AttemptRef): boolean {
    return (
      record.state !== "ended" &&
      record.attempt === attempt &&
      record.host === this.#deps.hostId &&
      record.hostEpoch === this.#deps.epoch()
    );
  }
}
