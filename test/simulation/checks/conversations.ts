// What agents said to be kept, and whether the next attempt went on from it.

import { sessionKey } from "../../../libs/contracts/ids.ts";
import type { ConversationRecord } from "../../../libs/contracts/sessions/conversation.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { JobRequest } from "../../../services/agent-host/pool/messages.ts";
import type { Trace } from "../trace.ts";
import type { Coverage } from "./coverage.ts";

interface Kept {
  readonly attempt: number;
  readonly items: number;
  readonly atMs: number;
}

interface Written {
  readonly key: string;
  readonly revision: number;
  readonly value: ConversationRecord | undefined;
}

/** From the reading of a conversation to the agent that runs with it, at most: its record may be asked for in vain. */
const ON_ITS_WAY_MS = 15_000;
/** A reading that comes this soon before the agent runs was in time for it. */
const JUST_READ_MS = 500;

export class Conversations {
  readonly #clock: Clock;
  readonly #trace: Trace;
  readonly #coverage: Coverage;
  /** What hosts know to be stored, oldest first, by session. */
  readonly #kept = new Map<string, Kept[]>();
  /** What each host read last, by host and session. */
  readonly #read = new Map<string, Kept>();

  constructor(clock: Clock, trace: Trace, coverage: Coverage) {
    this.#clock = clock;
    this.#trace = trace;
    this.#coverage = coverage;
  }

  onKept({ tenant, sessionId, attempt, items }: ConversationRecord): void {
    const key = sessionKey({ tenant, sessionId });
    const kept = this.#kept.get(key) ?? [];
    kept.push({ attempt, items: items.length, atMs: this.#clock.monotonic() });
    this.#kept.set(key, kept);
    this.#coverage.count("conversations kept");
  }

  /** A resumed attempt gets what was checkpointed last; one that can't read it begins anew. */
  onResumes(host: string, { tenant, sessionId, attempt, resumes }: JobRequest): void {
    const now = this.#clock.monotonic();
    const read = this.#read.get(`${host} ${sessionId}`);
    const before = (this.#kept.get(sessionKey({ tenant, sessionId })) ?? []).filter(
      (kept) => kept.attempt < attempt && now - kept.atMs > ON_ITS_WAY_MS,
    );
    // An answer may come late, so an older attempt's may be heard of after a newer one's.
    const newest = Math.max(0, ...before.map((kept) => kept.attempt));
    const last = before.filter((kept) => kept.attempt === newest).at(-1);
    const name = `${this.#trace.nameOf(sessionId)}#${attempt}`;
    if (resumes !== undefined) this.#coverage.count("conversations resumed");
    if (resumes !== undefined && resumes.attempt >= attempt)
      this.#trace.violation("resume", `${name} goes on from attempt ${resumes.attempt}`);
    // The store may not give it in time, and a caller must not wait for it; but what was read is gone on from.
    if (resumes === undefined) {
      if (read !== undefined && read.attempt < attempt && now - read.atMs < JUST_READ_MS)
        this.#trace.violation(
          "resume",
          `${name} begins anew, and ${host} has read ${read.items} things said`,
        );
      return;
    }
    const items = resumes.items.length;
    if (last !== undefined && items < last.items)
      this.#trace.violation("resume", `${name} goes on from ${items} of ${last.items} things that were said`);
  }

  onReadBack(host: string, record: ConversationRecord | undefined): void {
    if (record === undefined) return;
    const { attempt, items, sessionId } = record;
    this.#read.set(`${host} ${sessionId}`, { attempt, items: items.length, atMs: this.#clock.monotonic() });
  }

  /** What it read before was for another attempt, which came to nothing: for this one it got nothing. */
  onReadInVain(host: string, key: string): void {
    const [, sessionId] = key.split(".");
    this.#read.delete(`${host} ${sessionId}`);
  }

  /** An older attempt's checkpoint never follows a newer one's. */
  check(written: readonly Written[]): void {
    const newest = new Map<string, number>();
    for (const { key, revision, value } of written) {
      const before = newest.get(key) ?? 0;
      if (value === undefined) continue;
      if (value.attempt < before)
        this.#trace.violation(
          "checkpoint",
          `revision ${revision} of ${key} is of attempt ${value.attempt}, after one of ${before}`,
        );
      newest.set(key, Math.max(before, value.attempt));
    }
  }
}
