// Tells a chaos run step by step, by the product's own rules, and makes its evidence: what a check must see.

import { callOf, hasEnded } from "../../libs/calls/call-of.ts";
import type { SessionEvent, SessionRecord } from "../../libs/contracts/session.ts";
import type { TaskEvent, TaskRecord } from "../../libs/contracts/task.ts";
import type { SessionInput } from "../../libs/session/machine.ts";
import { newSession, step } from "../../libs/session/step.ts";
import { step as taskStep } from "../../libs/task/step.ts";
import { callNameOf } from "../../services/connector/providers/vapi-calls.ts";
import { rollUp } from "../../services/janitor/roll-up.ts";
import { READY_LINE } from "../chaos/check-records.ts";
import type { Evidence, Said } from "../chaos/evidence.ts";
import { aHost, defaults } from "./examples.ts";
import { aTask, callMoved, lineGiven, sessionEnded, sessionReady } from "./task-examples.ts";

type Mutable<T> = T extends readonly (infer U)[]
  ? Mutable<U>[]
  : T extends object
    ? { -readonly [K in keyof T]: Mutable<T[K]> }
    : T;

/** Evidence that a test may spoil. */
export type Draft = Mutable<Evidence>;

type Untold = Omit<Extract<SessionInput, { tenant: string }>, "tenant" | "sessionId" | "at" | "attempt">;

const TENANT = "t";
const BEGAN = Date.parse("2026-01-01T12:00:00.000Z");
const HOUR_MS = 3_600_000;
export const HEALED_MS = 60_000;
export const ENDED_MS = 105_000;
const OVER_MS = 150_000;
/** One of the hosts' clocks is wrong, which may not matter to anything. */
const shiftOf = (host: string | undefined): number => (host === "h2" ? HOUR_MS : 0);
export const epochs: Record<string, number> = { h1: 3, h2: 5 };

interface Serving {
  readonly session: string;
  readonly attempt: number;
  readonly host: string;
  readonly slot: string;
  readonly room: string;
  readonly identity: string;
  readonly fromMs: number;
  untilMs: number;
}

export class Story {
  readonly draft: Draft = emptyDraft();
  readonly serving: Serving[] = [];
  readonly #records = new Map<string, SessionRecord>();

  ask(nowMs: number, id: string, words = id): void {
    const request = {
      type: "requested" as const,
      tenant: TENANT,
      sessionId: id,
      at: at(nowMs),
      profile: "echo",
      user: { id: `user-${id}`, name: `canary-${id}` },
      metadata: { words },
      requestHash: `hash of ${words}`,
    };
    const asked = {
      askedAtMs: nowMs,
      answeredAtMs: nowMs + 5,
      tenant: TENANT,
      idempotencyKey: `key-${id}`,
      words,
      canary: `canary-${id}`,
    };
    this.draft.asked.push({ ...asked, status: 202, sessionId: id }, { ...asked, status: 202, sessionId: id });
    this.draft.asked.push({ ...asked, words: "other", status: 409, errorCode: "idempotency_conflict" });
    this.draft.looked.push({ as: `canary-${id}`, path: `/api/session/${id}`, text: `canary-${id}` });
    const { sequence } = this.#store(nowMs, request);
    this.#save(nowMs, newSession(request, defaults, sequence));
  }

  /** A dispatcher decides by itself. */
  choose(nowMs: number, id: string, host: string, asked: "hot" | "warm" | "cold"): void {
    const { attempt } = this.record(id);
    const choice = { host, epoch: epochs[host] ?? 0, asked, at: at(nowMs) };
    this.#take(nowMs, id, { type: "host_chosen", attempt, ...choice });
  }

  decline(nowMs: number, id: string, why: string): void {
    const { attempt, host = "" } = this.record(id);
    this.#take(nowMs, id, { type: "declined", attempt, host, why, at: at(nowMs) });
  }

  /** The record's own host, or the janitor, says something of the present attempt, and a dispatcher takes it. */
  say(nowMs: number, id: string, what: Untold & Record<string, unknown>): void {
    const { attempt, host, hostEpoch } = this.record(id);
    const byHost = ["joined", "ready", "user_left", "agent_ended", "handed_over"].includes(what.type);
    const event = {
      ...what,
      ...address(id, at(nowMs, byHost ? host : undefined)),
      attempt,
      ...(byHost ? { host, epoch: hostEpoch } : {}),
    } as unknown as Exclude<SessionEvent, { type: "requested" }>;
    this.#store(nowMs, event);
    this.#take(nowMs, id, event);
  }

  serve(
    nowMs: number,
    id: string,
    { slot, room, untilMs }: { slot: string; room?: string; untilMs: number },
  ): void {
    const { attempt, host = "", room: own } = this.record(id);
    const identity = room === undefined ? `agent-${id}-${attempt}` : `hot-${slot}`;
    const where = { room: room ?? own, identity };
    const serving = { session: id, attempt, host, slot, ...where, fromMs: nowMs, untilMs };
    this.serving.push(serving);
    const inRoom = { ...where, warm: room === undefined ? "warm" : "hot", tookMs: 40 };
    this.say(nowMs, id, { type: "joined", ...inRoom } as never);
    this.draft.logs.push({
      atMs: nowMs + 20,
      process: `agent-host-${host}`,
      line: { level: "debug", msg: READY_LINE, session: id, attempt, slot, ...where },
    });
    this.say(nowMs + 20, id, { type: "ready", ...inRoom } as never);
  }

  /** A callee who is busy at first, and then takes the call. */
  task(id: string): void {
    const asked = { tenant: TENANT, idempotencyKey: `key-${id}`, taskId: id, status: 202 };
    this.draft.askedTasks.push({ ...asked, askedAtMs: 1000 }, { ...asked, askedAtMs: 1500 });
    const steps: ((task: TaskRecord) => TaskEvent)[] = [
      lineGiven,
      (task) => callMoved(task, "busy"),
      (task) => sessionEnded(task, { reason: "provider_error", wasReady: false }),
      lineGiven,
      (task) => callMoved(task, "answered"),
      sessionReady,
      sessionEnded,
    ];
    let task = aTask(id);
    for (const next of steps) task = taskStep(task, next(task));
    this.draft.remains.tasks.push(task as Draft["remains"]["tasks"][number]);
    for (const { n, session } of task.attempts) {
      this.draft.remains.dialled.push({
        atMs: 1000 * n,
        id: `call-${session}`,
        name: callNameOf(TENANT, session),
        to: task.to,
        wasAnswered: n === 2,
        isLive: false,
      });
    }
  }

  /** What the run itself stored, to see whether it does harm. */
  forge(nowMs: number, forgery: NonNullable<Said["forgery"]>, event: SessionEvent): void {
    this.#store(nowMs, event, forgery);
  }

  nonsense(nowMs: number, subject: string): void {
    const sequence = this.draft.said.length + 1;
    this.draft.said.push({ sequence, storedAtMs: nowMs, subject, event: undefined, forgery: "nonsense" });
    this.draft.remains.deadLetters.push({
      subject,
      stream: "SESSIONS",
      sequence,
      reason: "The payload is not JSON.",
      deliveries: 1,
      at: at(nowMs),
      payload: "text",
    });
  }

  record(id: string): SessionRecord {
    const record = this.#records.get(id);
    if (record === undefined) throw new Error(`the story has no session ${id}`);
    return record;
  }

  /** Four looks a second into every room, and each host's word on its slots each second. */
  look(): void {
    for (let atMs = 0; atMs <= OVER_MS; atMs += 250) {
      const present = this.serving.filter((each) => each.fromMs <= atMs && atMs < each.untilMs);
      this.draft.rooms.push({ atMs, rooms: roomsOf(present) });
      if (atMs % 1000 > 0) continue;
      for (const host of ["h1", "h2"]) this.draft.hosts.push({ atMs, host: hostWith(host, atMs, present) });
    }
  }

  end(): Draft {
    const { draft } = this;
    const records = [...this.#records.values()];
    draft.remains.records = structuredClone(records) as Draft["remains"]["records"];
    draft.remains.rollups = rollUp(records) as Draft["remains"]["rollups"];
    recordCalls(draft);
    draft.remains.hosts = ["h1", "h2"].map((id) => hostWith(id, OVER_MS, []));
    return structuredClone(draft);
  }

  #take(nowMs: number, id: string, input: SessionInput): void {
    const before = this.record(id);
    const after = step(before, input);
    if (after !== before) this.#save(nowMs, after);
  }

  #save(nowMs: number, record: SessionRecord): void {
    const revision = this.draft.written.length + 10;
    const saved = { ...record, opId: `dispatcher:${revision}` };
    this.#records.set(record.id, saved);
    const place = { key: `${TENANT}.${record.id}`, revision, record: structuredClone(saved) };
    this.draft.written.push({ seenAtMs: nowMs + 700, storedAtMs: nowMs, ...place } as never);
  }

  #store(nowMs: number, event: SessionEvent, forgery?: Said["forgery"]): Said {
    const said: Said = {
      sequence: this.draft.said.length + 1,
      storedAtMs: nowMs,
      subject: `session.${event.tenant}.${event.sessionId}.${event.type}`,
      event,
      ...(forgery === undefined ? {} : { forgery }),
    };
    this.draft.said.push(structuredClone(said) as Draft["said"][number]);
    return said;
  }
}

/** As the recorder does. */
export function recordCalls({ remains }: Draft): void {
  const ended = (remains.records as SessionRecord[]).filter(hasEnded);
  remains.calls = ended.map((record) => callOf(record, [])) as Draft["remains"]["calls"];
}

export const at = (nowMs: number, host?: string): string =>
  new Date(BEGAN + nowMs + shiftOf(host)).toISOString();
export const address = (sessionId: string, when: string) => ({ tenant: TENANT, sessionId, at: when });

/** LiveKit lists the killed agent of `moved` for a while; asked, it doesn't answer. */
function roomsOf(present: readonly Serving[]): Draft["rooms"][number]["rooms"] {
  const names = [...new Set(present.map(({ room }) => room))];
  return names.map((name) => {
    const agents = present.filter(({ room }) => room === name);
    const newest = Math.max(...agents.map(({ attempt }) => attempt));
    const participants = agents.map(({ identity, attempt }) => ({
      identity,
      isAgent: true,
      ...(agents.length > 1 ? { answers: attempt === newest } : {}),
    }));
    return { name, participants: [...participants, { identity: "a-person", isAgent: false }] };
  });
}

function hostWith(id: string, atMs: number, present: readonly Serving[]): Draft["hosts"][number]["host"] {
  const newest = (each: Serving) =>
    present.every(({ session, attempt }) => session !== each.session || attempt <= each.attempt);
  const slots = present
    .filter((each) => each.host === id && newest(each))
    .map(({ slot, session, attempt }) => ({ id: slot, state: "busy", tenant: TENANT, session, attempt }));
  const stages = [
    { id: `stage-${id}`, profile: "echo", slots: [...slots, { id: `spare-${id}`, state: "hot" }] },
  ];
  return aHost(id, atMs, { epoch: epochs[id] ?? 0, stages: stages as never }) as never;
}

const emptyDraft = (): Draft => ({
  seed: 1,
  asked: [],
  askedTasks: [],
  written: [],
  said: [],
  rooms: [],
  hosts: [],
  logs: [],
  heard: [],
  looked: [],
  faults: [
    { kind: "kill -9 of a stage", target: "a stage of agent-host-1", fromMs: 30_000, untilMs: 30_100 },
    { kind: "a clock that is wrong by an hour", target: "agent-host-2 +1 h", fromMs: 0, untilMs: HEALED_MS },
  ],
  healedAtMs: HEALED_MS,
  endedAtMs: ENDED_MS,
  remains: {
    atMs: OVER_MS,
    records: [],
    rooms: ["standby-spare-h1", "somebody-elses"],
    hosts: [],
    strayProcesses: [],
    consumers: [{ stream: "SESSIONS", name: "dispatcher", pending: 0, ackPending: 0 }],
    deadLetters: [],
    rollups: [],
    conversations: [],
    tasks: [],
    launches: [],
    reports: [],
    dialled: [],
    calls: [],
    falseKpis: [],
  },
});
