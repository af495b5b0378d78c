// Ended sessions and their calls as tests and benches need them: plausible, and different from one another.
import { callOf, type EndedSession } from "../../libs/calls/call-of.ts";
import { SpreadMaker } from "../../libs/calls/histogram.ts";
import type { AgentMeasures, CallRecord, SessionReport } from "../../libs/contracts/call.ts";
import type { EndedReason, Fault, HistoryEntry, SessionRecord } from "../../libs/contracts/session.ts";
import { aSession } from "./examples.ts";

export interface CallShape {
  readonly id: string;
  readonly tenant?: string;
  readonly profile?: string;
  /** When it was asked for, in ms since 1970. */
  readonly startedAtMs: number;
  readonly startMs: number;
  /** How long they talked; undefined: nobody got ready. */
  readonly talkMs: number | undefined;
  readonly reason?: EndedReason;
  readonly fault?: Fault;
  readonly warm?: "hot" | "warm" | "cold";
  /** It was handed over once, halfway. */
  readonly isHandedOver?: boolean;
  readonly turns?: number;
}

const iso = (ms: number): string => new Date(ms).toISOString();

export function anEndedSession(shape: CallShape): EndedSession {
  const { id, tenant = "t", profile = "echo", startedAtMs, startMs, talkMs } = shape;
  const entry = (ms: number, state: HistoryEntry["state"], attempt: number, why?: string): HistoryEntry => ({
    state,
    at: iso(startedAtMs + ms),
    attempt,
    ...(state === "requested" ? {} : { host: `host-${attempt}` }),
    ...(why === undefined ? {} : { why }),
  });
  const served = (from: number, attempt: number) => [
    entry(from + startMs / 3, "dispatched", attempt),
    entry(from + startMs / 2, "joined", attempt),
    entry(from + startMs, "ready", attempt),
  ];
  const halfMs = startMs + (talkMs ?? 0) / 2;
  const last = shape.isHandedOver === true ? 2 : 1;
  const history = [
    entry(0, "requested", 1),
    ...(talkMs === undefined ? [] : served(0, 1)),
    ...(last === 2 ? [entry(halfMs, "requested", 2, "host host-1 is gone"), ...served(halfMs, 2)] : []),
    entry(startMs + (talkMs ?? 0), "ended", last, "the user left"),
  ];
  const record: SessionRecord = aSession(id, {
    tenant,
    profile,
    user: { id: `user-${id}`, name: "A User" },
    attempt: last,
    failures: last - 1,
    endedReason: shape.reason ?? "completed",
    fault: shape.fault ?? "none",
    ...(talkMs === undefined ? {} : { warm: shape.warm ?? "hot" }),
    timings: talkMs === undefined ? {} : { joinMs: startMs / 2, readyMs: startMs },
    history,
  });
  return { ...record, state: "ended" };
}

export function reportsOf(record: EndedSession, turns = 6): SessionReport[] {
  const ready = record.history.filter(({ state }) => state === "ready");
  return ready.map(({ attempt }) => ({
    v: 1 as const,
    tenant: record.tenant,
    session: record.id,
    attempt,
    profile: record.profile,
    host: `host-${attempt}`,
    warm: record.warm ?? "hot",
    joinMs: 12,
    readyMs: 30,
    servedMs: 60_000,
    ended: "released" as const,
    at: record.history.at(-1)?.at ?? "",
    measures: measuresOf(record.id, turns),
  }));
}

/** Different for each id, and the same each time. */
export function measuresOf(id: string, turns: number): AgentMeasures {
  let seed = [...id].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7);
  const next = (from: number, to: number): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return from + ((to - from) * seed) / 2 ** 32;
  };
  const spread = (from: number, to: number) => {
    const maker = new SpreadMaker();
    for (let i = 0; i < turns; i++) maker.add(next(from, to));
    return maker.spread();
  };
  return {
    response: spread(700, 2400),
    llm: spread(180, 900),
    stt: spread(90, 400),
    tts: spread(150, 600),
    endOfTurn: spread(300, 800),
    vad: { inferences: turns * 400, totalMs: turns * 90 },
    tools: [{ name: "look_up_order", calls: 2, errors: 0, totalMs: Math.round(next(200, 900)), maxMs: 500 }],
    usage: [
      {
        kind: "llm",
        provider: "openai",
        model: "gpt-4.1-mini",
        inputTokens: turns * 420,
        outputTokens: turns * 60,
      },
      { kind: "stt", provider: "deepgram", model: "nova-3", audioMs: turns * 9000 },
      {
        kind: "tts",
        provider: "openai",
        model: "gpt-4o-mini-tts",
        characters: turns * 180,
        audioMs: turns * 7000,
      },
    ],
    userTurns: turns,
    agentTurns: turns + 1,
    interruptions: turns % 3,
    errors: 0,
  };
}

export function aCall(shape: CallShape): CallRecord {
  const record = anEndedSession(shape);
  return callOf(record, reportsOf(record, shape.turns));
}
