// What really happened in the simulated world, and the invariants that can be checked the moment it does.
import { isProviderHost } from "../../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import { type Expired, phaseOf } from "../../../services/janitor/find-expired.ts";
import type { Gone, Guest, RoomWatch } from "../livekit/sim-livekit.ts";
import type { Trace } from "../trace.ts";

/** An agent that serves a session in a room. */
export interface Serving {
  readonly sessionId: string;
  readonly attempt: number;
  readonly slot: string;
  /** The life of its host. */
  readonly host: string;
  /** It was brought by a provider: whose it is shows by its identity, and `attempt` is the one that asked for it. */
  readonly isExternal?: true;
}

export interface Agent {
  readonly room: string;
  readonly guest: Guest;
  readonly sinceMs: number;
}

type Since<T> = T & { readonly sinceMs: number };

/** A write of a session's record that some process asked for. */
export interface Saving {
  readonly who: string;
  readonly record: SessionRecord;
  readonly atMs: number;
  /** The revision that it was made from; 0 for a first one. */
  readonly from: number;
  /** Whether the entrypoint of this attempt had said ready by then. */
  readonly wasSaidReady: boolean;
  /** Where it stands, once its writer knows that it was done. */
  revision: number | undefined;
  /** Its writer was told that it certainly didn't happen. */
  wasCalledLost: boolean;
}

/** Two agents of one session may be in its room for so long, when nothing hinders the older one's host. */
export const OVERLAP_MS = 3000;

export class Facts implements RoomWatch {
  readonly #clock: Clock;
  readonly #trace: Trace;
  /** By the mark of the write. */
  readonly savings = new Map<string, Saving>();
  readonly #phaseSinceMs = new Map<string, number>();
  readonly expirations: { readonly reportedAtMs: number; readonly event: Expired }[] = [];
  readonly #readByHost = new Set<string>();
  readonly #saidReady = new Set<string>();
  readonly #usedSlots = new Map<string, string>();
  readonly #slotOfAttempt = new Map<string, string>();
  readonly #ownerOf = new Map<string, string>();
  /** By room; with each the session it serves, and since when it does. */
  readonly #serving = new Map<string, Map<Guest, Since<Serving>>>();
  readonly #overlapSinceMs = new Map<string, number>();
  /** From here on nothing hinders anybody; undefined while faults go on. */
  calmSinceMs: number | undefined;

  constructor(clock: Clock, trace: Trace) {
    this.#clock = clock;
    this.#trace = trace;
  }

  // --- records ---

  onSave(who: string, kind: string, record: SessionRecord, from: number): void {
    const wasSaidReady = this.#saidReady.has(
      isProviderHost(record.host) ? (record.identity ?? "") : `${record.sessionId}#${record.attempt}`,
    );
    this.savings.set(record.writeId, {
      who,
      record,
      atMs: this.#clock.monotonic(),
      from,
      wasSaidReady,
      revision: undefined,
      wasCalledLost: false,
    });
    const phase = `${record.sessionId} ${phaseOf(record)}`;
    if (!this.#phaseSinceMs.has(phase)) this.#phaseSinceMs.set(phase, this.#clock.monotonic());
    if (kind !== "dispatcher") this.#trace.violation("one writer", `${who} writes a session's record`);
  }

  onSaved(writeId: string, revision: number): void {
    const saving = this.savings.get(writeId);
    if (saving !== undefined) saving.revision = revision;
  }

  onCalledLost(writeId: string): void {
    const saving = this.savings.get(writeId);
    if (saving !== undefined) saving.wasCalledLost = true;
  }

  /** Since when a session can at most have been in a phase: no write of it was even tried before. */
  phaseSinceMs(record: SessionRecord): number {
    return this.#phaseSinceMs.get(`${record.sessionId} ${phaseOf(record)}`) ?? 0;
  }

  onDeadlineExceeded(event: Expired): void {
    this.expirations.push({ reportedAtMs: this.#clock.monotonic(), event });
  }

  // --- agents ---

  /** A host has read a record. */
  onHostRead(host: string, record: SessionRecord): void {
    if (record.state !== "ended") this.#readByHost.add(`${host} ${record.sessionId}#${record.attempt}`);
  }

  /** An agent begins to work for a session. */
  onRun(host: string, slot: string, sessionId: string, attempt: number): void {
    if (!this.#readByHost.has(`${host} ${sessionId}#${attempt}`)) {
      const name = this.#trace.nameOf(sessionId);
      this.#trace.violation("read before joining", `${host} runs ${name}#${attempt}, which it never read`);
    }
    const job = `${sessionId}#${attempt}`;
    const used = this.#usedSlots.get(slot);
    if (used !== undefined)
      this.#trace.violation(5, `slot ${slot} is given ${this.#job(job)} after ${this.#job(used)}`);
    this.#usedSlots.set(slot, job);
    const other = this.#slotOfAttempt.get(job);
    if (other !== undefined && other !== slot)
      this.#trace.violation(6, `${this.#job(job)} runs in the slots ${other} and ${slot}`);
    this.#slotOfAttempt.set(job, slot);
  }

  /** The agent's own entrypoint says that it is ready. */
  onSaysReady(sessionId: string, attempt: number): void {
    this.#saidReady.add(`${sessionId}#${attempt}`);
  }

  /** The same of one that a provider brought. */
  onSaysReadyAs(identity: string): void {
    this.#saidReady.add(identity);
  }

  hasSaidReady(identity: string): boolean {
    return this.#saidReady.has(identity);
  }

  onServes(room: string, guest: Guest, serving: Serving): void {
    const inRoom = this.#serving.get(room) ?? new Map<Guest, Since<Serving>>();
    this.#serving.set(room, inRoom.set(guest, { ...serving, sinceMs: this.#clock.monotonic() }));
    this.#lookForOverlap(serving.sessionId);
  }

  /** The agents that serve a session anywhere now, alive and in a room. */
  serving(sessionId: string): Serving[] {
    return [...this.#serving.values()].flatMap((inRoom) =>
      [...inRoom.values()].filter((each) => each.sessionId === sessionId),
    );
  }

  /** The agents of a record's attempt, each with its room and since when it is there. */
  agentsOf(record: Pick<SessionRecord, "sessionId" | "attempt" | "identity">): Agent[] {
    return this.#agents(record, true);
  }

  /** The agents of the same session that its record doesn't speak of. */
  othersThan(record: Pick<SessionRecord, "sessionId" | "attempt" | "identity">): Agent[] {
    return this.#agents(record, false);
  }

  #agents(
    { sessionId: id, attempt, identity }: Pick<SessionRecord, "sessionId" | "attempt" | "identity">,
    wanted: boolean,
  ): Agent[] {
    return [...this.#serving].flatMap(([room, inRoom]) =>
      [...inRoom].flatMap(([guest, each]) => {
        const isIts = each.isExternal ? guest.identity === identity : each.attempt === attempt;
        return each.sessionId === id && isIts === wanted ? [{ room, guest, sinceMs: each.sinceMs }] : [];
      }),
    );
  }

  allServing(): Serving[] {
    return [...this.#serving.values()].flatMap((inRoom) => [...inRoom.values()]);
  }

  // --- rooms ---

  onIn(room: string, guest: Guest): void {
    this.#trace.note("livekit", `${guest.identity} comes into ${room}`);
    if (!guest.isAgent) return;
    // An agent whose standby room broke down comes again as itself; nobody else may come as it.
    const before = this.#ownerOf.get(guest.identity);
    if (before !== undefined && before !== guest.owner)
      this.#trace.violation(6, `${guest.owner} comes as ${guest.identity}, as ${before} did before`);
    this.#ownerOf.set(guest.identity, guest.owner);
  }

  onGone(room: string, guest: Guest, reason: Gone): void {
    this.#trace.note("livekit", `${guest.identity} is out of ${room}: ${reason}`);
    const inRoom = this.#serving.get(room);
    const serving = inRoom?.get(guest);
    if (inRoom === undefined || serving === undefined) return;
    inRoom.delete(guest);
    if (inRoom.size === 0) this.#serving.delete(room);
    this.#lookForOverlap(serving.sessionId);
  }

  /** An overlap that still goes on counts as well. To be called at the end. */
  endOverlaps(): void {
    for (const sessionId of [...this.#overlapSinceMs.keys()]) this.#endOverlap(sessionId);
  }

  #lookForOverlap(sessionId: string): void {
    const serving = this.serving(sessionId).map((each) => (each.isExternal ? each.slot : each.attempt));
    if (new Set(serving).size < 2) this.#endOverlap(sessionId);
    else if (!this.#overlapSinceMs.has(sessionId))
      this.#overlapSinceMs.set(sessionId, this.#clock.monotonic());
  }

  /** While faults go on nobody can be told to leave; what counts is what is left when nothing hinders them. */
  #endOverlap(sessionId: string): void {
    const since = this.#overlapSinceMs.get(sessionId);
    this.#overlapSinceMs.delete(sessionId);
    if (since === undefined || this.calmSinceMs === undefined) return;
    const ms = this.#clock.monotonic() - Math.max(since, this.calmSinceMs);
    if (ms > OVERLAP_MS) {
      const name = this.#trace.nameOf(sessionId);
      this.#trace.violation(6, `two attempts of ${name} are in its room for ${ms.toFixed(0)} ms`);
    }
  }

  #job(job: string): string {
    const [sessionId = "", attempt] = job.split("#");
    return `${this.#trace.nameOf(sessionId)}#${attempt}`;
  }
}
