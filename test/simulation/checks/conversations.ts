// Checks that the next attempt of a session continues from the conversation that its agent had stored.

import { sessionKey } from "../../../libs/contracts/ids.ts";
import type { ConversationRecord } from "../../../libs/contracts/sessions/conversation.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { JobRequest } from "../../../services/agent-host/pool/messages.ts";
import type { Trace } from "../trace.ts";
import type { Coverage } from "./coverage.ts";

interface Checkpoint {
  readonly attempt: number;
  readonly items: number;
  readonly atMs: number;
}

interface Written {
  readonly key: string;
  readonly revision: number;
  readonly value: ConversationRecord | undefined;
}

/** The maximum time from the reading of a conversation to the start of its agent; reads of the record may fail in between. */
const MAX_START_MS = 15_000;
/** A conversation that was read this shortly before the agent's start was available to it. */
const JUST_READ_MS = 500;

export class Conversations {
  readonly #clock: Clock;
  readonly #trace: Trace;
  readonly #coverage: Coverage;
  /** The checkpoints that hosts know to be stored, oldest first, by session. */
  readonly #stored = new Map<string, Checkpoint[]>();
  /** The last conversation that each host read, by host and session. */
  readonly #read = new Map<string, Checkpoint>();

  constructor(clock: Clock, trace: Trace, coverage: Coverage) {
    this.#clock = clock;
    this.#trace = trace;
    this.#coverage = coverage;
  }

  onStored({ tenant, sessionId, attempt, items }: ConversationRecord): void {
    const key = sessionKey({ tenant, sessionId });
    const stored = this.#stored.get(key) ?? [];
    stored.push({ attempt, items: items.length, atMs: this.#clock.monotonic() });
    this.#stored.set(key, stored);
    this.#coverage.count("conversations stored");
  }

  /** A resumed attempt gets the last checkpoint; an attempt whose host can't read it starts from scratch. */
  onResumes(host: string, { tenant, sessionId, attempt, resumes }: JobRequest): void {
    const now = this.#clock.monotonic();
    const read = this.#read.get(`${host} ${sessionId}`);
    const before = (this.#stored.get(sessionKey({ tenant, sessionId })) ?? []).filter(
      (stored) => stored.attempt < attempt && now - stored.atMs > MAX_START_MS,
    );
    // Answers may arrive late, so an older attempt's checkpoint may be reported after a newer one's.
    const newest = Math.max(0, ...before.map((stored) => stored.attempt));
    const last = before.filter((stored) => stored.attempt === newest).at(-1);
    const name = `${this.#trace.nameOf(sessionId)}#${attempt}`;
    if (resumes !== undefined) this.#coverage.count("conversations resumed");
    if (resumes !== undefined && resumes.attempt >= attempt)
      this.#trace.violation("resume", `${name} continues from attempt ${resumes.attempt}`);
    // The store may not answer in time, and the caller must not wait for it. A conversation that was read must be used.
    if (resumes === undefined) {
      if (read !== undefined && read.attempt < attempt && now - read.atMs < JUST_READ_MS)
        this.#trace.violation(
          "resume",
          `${name} starts from scratch, although ${host} has read ${read.items} items`,
        );
      return;
    }
    const items = resumes.items.length;
    if (last !== undefined && items < last.items)
      this.#trace.violation("resume", `${name} continues from ${items} of ${last.items} items`);
  }

  onRead(host: string, record: ConversationRecord | undefined): void {
    if (record === undefined) return;
    const { attempt, items, sessionId } = record;
    this.#read.set(`${host} ${sessionId}`, { attempt, items: items.length, atMs: this.#clock.monotonic() });
  }

  /** Forgets the host's last read, which was for a failed attempt. */
  onReadFailed(host: string, key: string): void {
    const [, sessionId] = key.split(".");
    this.#read.delete(`${host} ${sessionId}`);
  }

  /** Checks that no older attempt's checkpoint follows a newer one's. */
  check(written: readonly Written[]): void {
    const newest = new Map<string, number>();
    for (const { key, revision, value } of written) {
      const before = newest.get(key) ?? 0;
      if (value === undefined) continue;
      if (value.attempt < before)
        this.#trace.violation(
          "checkpoint",
          `revision ${revision} of ${key} belongs to attempt ${value.attempt} and follows one of attempt ${before}`,
        );
      newest.set(key, Math.max(before, value.attempt));
    }
  }
}
