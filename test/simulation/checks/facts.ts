// The facts of a simulated world (writes, agents, rooms) and the invariants that each of them is checked against.
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
  /** The host's instance. */
  readonly host: string;
  /** A provider brought the agent: its identity tells whose agent it is, and `attempt` requested it. */
  readonly isExternal?: true;
}

export interface Agent {
  readonly room: string;
  readonly guest: Guest;
  readonly sinceMs: number;
}

type Since<T> = T & { readonly sinceMs: number };

/** An attempted write of a session's record. */
export interface RecordWrite {
  readonly who: string;
  readonly record: SessionRecord;
  readonly atMs: number;
  /** The revision that the write replaces; 0 for a first one. */
  readonly from: number;
  /** Whether the entrypoint of this attempt had reported ready before the write. */
  readonly wasReportedReady: boolean;
  /** The revision of the write, once the writer knows that it succeeded. */
  revision: number | undefined;
  /** Whether the writer got the answer that the write did not happen. */
  wasReportedLost: boolean;
}

/** How long two agents of one session may share its room while the older one's host is healthy. */
export const OVERLAP_MS = 3000;

export class Facts implements RoomWatch {
  readonly #clock: Clock;
  readonly #trace: Trace;
  /** By write id. */
  readonly writes = new Map<string, RecordWrite>();
  readonly #phaseSinceMs = new Map<string, number>();
  readonly expirations: { readonly reportedAtMs: number; readonly event: Expired }[] = [];
  readonly #readByHost = new Set<string>();
  readonly #reportedReady = new Set<string>();
  readonly #usedSlots = new Map<string, string>();
  readonly #slotOfAttempt = new Map<string, string>();
  readonly #ownerOf = new Map<string, string>();
  /** The agents of each room, each with the session it serves. */
  readonly #serving = new Map<string, Map<Guest, Since<Serving>>>();
  readonly #overlapSinceMs = new Map<string, number>();
  /** When every process had recovered from the faults; undefined before. */
  calmSinceMs: number | undefined;

  constructor(clock: Clock, trace: Trace) {
    this.#clock = clock;
    this.#trace = trace;
  }

  // --- records ---

  onSave(who: string, kind: string, record: SessionRecord, from: number): void {
    const wasReportedReady = this.#reportedReady.has(
      isProviderHost(record.host) ? (record.identity ?? "") : `${record.sessionId}#${record.attempt}`,
    );
    this.writes.set(record.writeId, {
      who,
      record,
      atMs: this.#clock.monotonic(),
      from,
      wasReportedReady,
      revision: undefined,
      wasReportedLost: false,
    });
    const phase = `${record.sessionId} ${phaseOf(record)}`;
    if (!this.#phaseSinceMs.has(phase)) this.#phaseSinceMs.set(phase, this.#clock.monotonic());
    if (kind !== "dispatcher") this.#trace.violation("one writer", `${who} wrote a session's record`);
  }

  onSaved(writeId: string, revision: number): void {
    const write = this.writes.get(writeId);
    if (write !== undefined) write.revision = revision;
  }

  onReportedLost(writeId: string): void {
    const write = this.writes.get(writeId);
    if (write !== undefined) write.wasReportedLost = true;
  }

  /** The earliest time at which a session can have entered a phase: its first attempted write. */
  phaseSinceMs(record: SessionRecord): number {
    return this.#phaseSinceMs.get(`${record.sessionId} ${phaseOf(record)}`) ?? 0;
  }

  onDeadlineExceeded(event: Expired): void {
    this.expirations.push({ reportedAtMs: this.#clock.monotonic(), event });
  }

  // --- agents ---

  /** Called when a host has read a record. */
  onHostRead(host: string, record: SessionRecord): void {
    if (record.state !== "ended") this.#readByHost.add(`${host} ${record.sessionId}#${record.attempt}`);
  }

  /** Called when an agent starts to work for a session. */
  onRun(host: string, slot: string, sessionId: string, attempt: number): void {
    if (!this.#readByHost.has(`${host} ${sessionId}#${attempt}`)) {
      const name = this.#trace.nameOf(sessionId);
      this.#trace.violation(
        "read before joining",
        `${host} runs ${name}#${attempt} without having read its record`,
      );
    }
    const job = `${sessionId}#${attempt}`;
    const used = this.#usedSlots.get(slot);
    if (used !== undefined)
      this.#trace.violation(5, `slot ${slot} runs ${this.#job(job)} after ${this.#job(used)}`);
    this.#usedSlots.set(slot, job);
    const other = this.#slotOfAttempt.get(job);
    if (other !== undefined && other !== slot)
      this.#trace.violation(6, `${this.#job(job)} runs in the slots ${other} and ${slot}`);
    this.#slotOfAttempt.set(job, slot);
  }

  /** Called when the agent's own entrypoint reports ready. */
  onReportedReady(sessionId: string, attempt: number): void {
    this.#reportedReady.add(`${sessionId}#${attempt}`);
  }

  /** Called when an agent of a provider reports ready. */
  onReportedReadyAs(identity: string): void {
    this.#reportedReady.add(identity);
  }

  hasReportedReady(identity: string): boolean {
    return this.#reportedReady.has(identity);
  }

  onServes(room: string, guest: Guest, serving: Serving): void {
    const inRoom = this.#serving.get(room) ?? new Map<Guest, Since<Serving>>();
    this.#serving.set(room, inRoom.set(guest, { ...serving, sinceMs: this.#clock.monotonic() }));
    this.#updateOverlap(serving.sessionId);
  }

  /** The live agents that serve a session, in any room. */
  serving(sessionId: string): Serving[] {
    return [...this.#serving.values()].flatMap((inRoom) =>
      [...inRoom.values()].filter((each) => each.sessionId === sessionId),
    );
  }

  /** The agents of a record's attempt, each with its room and the time it joined. */
  agentsOf(record: Pick<SessionRecord, "sessionId" | "attempt" | "identity">): Agent[] {
    return this.#agents(record, true);
  }

  /** The agents of the same session that belong to other attempts. */
  othersThan(record: Pick<SessionRecord, "sessionId" | "attempt" | "identity">): Agent[] {
    return this.#agents(record, false);
  }

  #agents(
    { sessionId: id, attempt, identity }: Pick<SessionRecord, "sessionId" | "attempt" | "identity">,
    wanted: boolean,
  ): Agent[] {
    return [...this.#serving].flatMap(([room, inRoom]) =>
      [...inRoom].flatMap(([guest, each]) => {
        const belongs = each.isExternal ? guest.identity === identity : each.attempt === attempt;
        return each.sessionId === id && belongs === wanted ? [{ room, guest, sinceMs: each.sinceMs }] : [];
      }),
    );
  }

  allServing(): Serving[] {
    return [...this.#serving.values()].flatMap((inRoom) => [...inRoom.values()]);
  }

  // --- rooms ---

  onIn(room: string, guest: Guest): void {
    this.#trace.note("livekit", `${guest.identity} joins ${room}`);
    if (!guest.isAgent) return;
    // An agent may rejoin under its own identity after its standby room was closed; no other agent may use that identity.
    const before = this.#ownerOf.get(guest.identity);
    if (before !== undefined && before !== guest.owner)
      this.#trace.violation(6, `${guest.owner} joins as ${guest.identity}, which ${before} used before`);
    this.#ownerOf.set(guest.identity, guest.owner);
  }

  onGone(room: string, guest: Guest, reason: Gone): void {
    this.#trace.note("livekit", `${guest.identity} is gone from ${room}: ${reason}`);
    const inRoom = this.#serving.get(room);
    const serving = inRoom?.get(guest);
    if (inRoom === undefined || serving === undefined) return;
    inRoom.delete(guest);
    if (inRoom.size === 0) this.#serving.delete(room);
    this.#updateOverlap(serving.sessionId);
  }

  /** Checks the overlaps that have not ended; called at the end of the run. */
  endOverlaps(): void {
    for (const sessionId of [...this.#overlapSinceMs.keys()]) this.#endOverlap(sessionId);
  }

  #updateOverlap(sessionId: string): void {
    const serving = this.serving(sessionId).map((each) => (each.isExternal ? each.slot : each.attempt));
    if (new Set(serving).size < 2) this.#endOverlap(sessionId);
    else if (!this.#overlapSinceMs.has(sessionId))
      this.#overlapSinceMs.set(sessionId, this.#clock.monotonic());
  }

  /** Counts an overlap only from the time of recovery: during faults, a host can't make its agent leave. */
  #endOverlap(sessionId: string): void {
    const since = this.#overlapSinceMs.get(sessionId);
    this.#overlapSinceMs.delete(sessionId);
    if (since === undefined || this.calmSinceMs === undefined) return;
    const ms = this.#clock.monotonic() - Math.max(since, this.calmSinceMs);
    if (ms > OVERLAP_MS) {
      const name = this.#trace.nameOf(sessionId);
      this.#trace.violation(6, `two attempts of ${name} shared its room for ${ms.toFixed(0)} ms`);
    }
  }

  #job(job: string): string {
    const [sessionId = "", attempt] = job.split("#");
    return `${this.#trace.nameOf(sessionId)}#${attempt}`;
  }
}
