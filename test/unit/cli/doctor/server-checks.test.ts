// The doctor's judgement of NATS and LiveKit, from invented answers.
import { describe, expect, test } from "vitest";
import type { Finding } from "../../../../cli/doctor/check.ts";
import { clocksCheck } from "../../../../cli/doctor/clock-check.ts";
import { audioCheck, livekitCheck, webhooksCheck } from "../../../../cli/doctor/livekit-checks.ts";
import {
  jetstreamCheck,
  natsCheck,
  storeRightsCheck,
  subjectRightsCheck,
  syncCheck,
} from "../../../../cli/doctor/nats-checks.ts";
import { sipCheck, trunksIn } from "../../../../cli/doctor/sip-check.ts";
import {
  backlogCheck,
  type StreamFacts,
  streamsCheck,
  wantedStreams,
} from "../../../../cli/doctor/stream-checks.ts";
import { isTone, toneOf } from "../../../../cli/doctor/tone.ts";
import { parseProviderRules } from "../../../../libs/contracts/providers/provider-rules.ts";

const levels = (findings: readonly Finding[]) => findings.map(({ level }) => level);
const text = (findings: readonly Finding[]) =>
  findings.map(({ message: description, todo }) => `${description} ${todo ?? ""}`).join("\n");

describe("checks of phone calls", () => {
  const rules = parseProviderRules("sales=sip, support=sip:ST_own, legacy=webhook");

  test("assigns a profile to its own trunk, else to the common one", () => {
    expect(trunksIn(rules, "ST_all")).toEqual({
      trunks: [
        { id: "ST_all", usedBy: ["GREENROOM_SIP_TRUNK", "sales"] },
        { id: "ST_own", usedBy: ["support"] },
      ],
      without: [],
    });
    expect(trunksIn(rules, undefined)).toEqual({
      trunks: [{ id: "ST_own", usedBy: ["support"] }],
      without: ["sales"],
    });
    expect(trunksIn([], "")).toEqual({ trunks: [], without: [] });
  });

  test("requires a trunk that LiveKit has", () => {
    const trunks = trunksIn(rules, "ST_all");
    expect(levels(sipCheck.judge({ ...trunks, known: ["ST_all", "ST_own"] }))).toEqual(["ok", "ok"]);
    const other = sipCheck.judge({ ...trunks, known: ["ST_own", "ST_x"] });
    expect(levels(other)).toEqual(["warning", "ok"]);
    expect(text(other)).toContain("Known: ST_own, ST_x.");
    const without = sipCheck.judge({ ...trunksIn(rules, undefined), known: ["ST_own"] });
    expect(levels(without)).toEqual(["failure", "ok"]);
    expect(text(without)).toContain("sales=sip:ST_");
  });

  test("requires LiveKit SIP, or nothing without phone calls", () => {
    const refused = sipCheck.judge({ ...trunksIn(rules, "ST_all"), refusal: "sip not connected" });
    expect(levels(refused)).toEqual(["failure"]);
    expect(text(refused)).toMatch(/sip not connected.*livekit-sip/s);
    expect(levels(sipCheck.judge(trunksIn([], undefined)))).toEqual(["skipped"]);
  });
});

describe("checks of NATS", () => {
  const server = {
    ...{ version: "2.15.2", name: "n1", maxPayloadBytes: 256 * 1024, hasJetStream: true },
    ...{ cluster: undefined, domain: undefined, roundTripMs: 0.4 },
  };
  const url = "nats://127.0.0.1:4222";

  test("requires a new server that accepts messages as large as a conversation", () => {
    expect(levels(natsCheck.judge({ server, url }))).toEqual(["ok"]);
    const old = natsCheck.judge({ server: { ...server, version: "2.12.1" }, url });
    expect(levels(old)).toEqual(["failure"]);
    expect(text(old)).toContain("2.12.3");
    expect(levels(natsCheck.judge({ server: { ...server, maxPayloadBytes: 1024 }, url }))).toContain(
      "failure",
    );
  });

  test("treats an unreachable server as a failure only if a setting names it", () => {
    const away = { server: undefined, url, reason: "CONNECTION_REFUSED" };
    expect(levels(natsCheck.judge({ ...away, isGiven: true }))).toEqual(["failure"]);
    expect(levels(natsCheck.judge({ ...away, isGiven: false }))).toEqual(["skipped"]);
  });

  test("requires JetStream, and space for all streams in the account", () => {
    const limits = { max_storage: -1, max_streams: -1 };
    const judge = (change: object) =>
      jetstreamCheck.judge({
        account: { storage: 0, streams: 3, limits: { ...limits, ...change }, domain: "hub" } as never,
      });
    expect(levels(judge({}))).toEqual(["ok"]);
    expect(text(judge({}))).toContain("the domain hub");
    expect(levels(judge({ max_storage: 0 }))).toEqual(["failure"]);
    expect(levels(judge({ max_storage: 1024 }))).toEqual(["ok", "warning"]);
    expect(levels(judge({ max_streams: 3 }))).toEqual(["ok", "failure"]);
    expect(levels(jetstreamCheck.judge({ refused: "jetstream not enabled" }))).toEqual(["failure"]);
  });

  test("warns about a long sync interval", () => {
    const seen = { monitorUrl: "http://x", replicas: 1, intervalMs: 1000, isAlways: false };
    expect(levels(syncCheck.judge(seen))).toEqual(["ok"]);
    expect(levels(syncCheck.judge({ ...seen, isAlways: true }))).toEqual(["ok"]);
    expect(levels(syncCheck.judge({ ...seen, intervalMs: 120_000 }))).toEqual(["warning"]);
    expect(levels(syncCheck.judge({ ...seen, monitorUrl: undefined, intervalMs: undefined }))).toEqual([
      "skipped",
    ]);
  });

  test("names every subject that the account may not use", () => {
    expect(levels(subjectRightsCheck.judge({ mayNotPublish: [], mayNotSubscribe: [] }))).toEqual(["ok"]);
    const denied = subjectRightsCheck.judge({
      mayNotPublish: ["session.x"],
      mayNotSubscribe: ["rooms.event"],
    });
    expect(levels(denied)).toEqual(["failure", "failure"]);
    expect(text(denied)).toContain("publish on session.x");
  });

  test("explains why nothing can be stored", () => {
    const judge = (code: number | undefined, replicas = 3) =>
      storeRightsCheck.judge({
        trial: { failed: { doing: "creating a stream", error: "no", code }, created: undefined, tookMs: 1 },
        replicas,
      });
    expect(text(judge(10_074))).toContain("GREENROOM_REPLICAS=1");
    expect(text(judge(10_005))).toContain("no 3 nodes");
    expect(text(judge(undefined))).toContain("Creating a stream failed");
    for (const code of [10_074, 10_005, undefined]) expect(levels(judge(code))).toEqual(["failure"]);
    const trial = { failed: undefined, created: undefined, tookMs: 12 };
    expect(levels(storeRightsCheck.judge({ trial, replicas: 1 }))).toEqual(["ok"]);
  });
});

describe("checks of streams and buckets", () => {
  const good: StreamFacts[] = wantedStreams().map(({ name, subjects, ...rest }) => ({
    ...{ ...rest, name, subjects: [subjects], isOnDisk: true, keepsWhatIsRead: true, copies: 1, behind: [] },
    ...{ hasLeader: true, bytes: 10, maxBytes: 1000, messages: 1 },
  }));
  const judge = (change: Partial<StreamFacts>, replicas = 1) =>
    streamsCheck.judge({
      streams: good.map((one) => (one.name === "SESSIONS" ? { ...one, ...change } : one)),
      replicas,
    });

  test("accepts what the contracts declare", () => {
    expect(levels(judge({}))).toEqual(["ok"]);
    expect(levels(streamsCheck.judge({ streams: [], replicas: 1 }))).toEqual(["ok"]);
    const some = streamsCheck.judge({ streams: good.slice(1), replicas: 1 });
    expect(levels(some)).toEqual(["ok"]);
    expect(text(some)).toContain(good[0]?.name);
  });

  test.each<[Partial<StreamFacts>, string, string]>([
    [{ subjects: ["other.*"] }, "failure", "--subjects='session.*.*.*'"],
    [{ isOnDisk: false }, "failure", "in memory"],
    [{ keepsWhatIsRead: false }, "failure", "deletes messages after they were read"],
    [{ refusesWhenFull: false }, "failure", "--discard=new"],
    [{ mayAnswerLate: true }, "warning", "stale"],
    [{ hasLeader: false }, "failure", "no leader"],
    [{ behind: ["n2"] }, "warning", "n2"],
    [{ bytes: 750 }, "warning", "75 % full"],
    [{ bytes: 950 }, "failure", "95 % full"],
  ])("reports a stream with %j", (change, level, message) => {
    const findings = judge(change);
    expect(levels(findings)).toEqual([level]);
    expect(text(findings)).toContain("SESSIONS");
    expect(text(findings)).toContain(message);
  });

  test("warns about fewer replicas than configured, and shorter histories", () => {
    expect(levels(judge({}, 3))).toEqual(good.map(() => "warning"));
    const records = good.map((one) => (one.name === "KV_sessions" ? { ...one, maxPerSubject: 1 } : one));
    const findings = streamsCheck.judge({ streams: records, replicas: 1 });
    expect(text(findings)).toContain("KV_sessions keeps 1 messages per subject instead of 64");
  });

  test("accepts a full stream that deletes its oldest messages", () => {
    const logs = good.map((one) => (one.name === "SESSION_LOGS" ? { ...one, bytes: 999 } : one));
    expect(levels(streamsCheck.judge({ streams: logs, replicas: 1 }))).toEqual(["ok"]);
  });

  test("warns about a backlog and about dead letters", () => {
    const consumer = { stream: "SESSIONS", name: "dispatcher", pending: 0, inHand: 300, redelivered: 0 };
    expect(levels(backlogCheck.judge({ consumers: [consumer], deadLetters: 0 }))).toEqual(["ok"]);
    const late = backlogCheck.judge({ consumers: [{ ...consumer, pending: 5000 }], deadLetters: 2 });
    expect(levels(late)).toEqual(["warning", "warning"]);
    expect(text(late)).toContain('wait for "dispatcher"');
  });
});

describe("checks of LiveKit", () => {
  const answered = { kind: "asked", url: "ws://x", answers: true, refusal: undefined, rooms: 0 } as const;

  test("requires an answer, and acceptance of the key", () => {
    expect(levels(livekitCheck.judge(answered))).toEqual(["ok"]);
    expect(text(livekitCheck.judge({ ...answered, refusal: "invalid API key" }))).toContain(
      "rejects the key",
    );
    expect(text(livekitCheck.judge({ ...answered, answers: false }))).toContain("Nothing answers");
    expect(levels(livekitCheck.judge({ kind: "missing", names: ["LIVEKIT_API_KEY"] }))).toEqual(["failure"]);
    expect(levels(livekitCheck.judge({ kind: "none" }))).toEqual(["skipped"]);
    expect(levels(livekitCheck.judge({ kind: "simulated" }))).toEqual(["skipped"]);
  });

  test("requires audio in both directions", () => {
    expect(levels(audioCheck.judge({ joinMs: 10, heardMs: [20, 30] }))).toEqual(["ok"]);
    expect(text(audioCheck.judge({ joinMs: 10, heardMs: [20, undefined] }))).toContain("only one heard");
    expect(text(audioCheck.judge({ joinMs: 10, heardMs: [undefined, undefined] }))).toContain(
      "neither heard",
    );
    expect(levels(audioCheck.judge({ joinMs: 0, heardMs: [], error: "no route" }))).toEqual(["failure"]);
  });

  test("requires LiveKit's webhooks if there is a gateway", () => {
    expect(levels(webhooksCheck.judge({ gateways: 1, heardMs: 40 }))).toEqual(["ok"]);
    expect(levels(webhooksCheck.judge({ gateways: 1, heardMs: undefined }))).toEqual(["warning"]);
    expect(levels(webhooksCheck.judge({ gateways: 0, heardMs: undefined }))).toEqual(["skipped"]);
  });

  test("requires a clock that accepts the tokens, with a tolerance for rounding", () => {
    const off = (aheadMs: number, errorMs = 10) =>
      levels(clocksCheck.judge([{ who: "LiveKit", aheadMs, errorMs }]));
    expect(off(400)).toEqual(["ok"]);
    expect(off(-30_000)).toEqual(["warning"]);
    expect(off(90_000)).toEqual(["failure"]);
    expect(off(90_000, 89_000)).toEqual(["ok"]);
    expect(levels(clocksCheck.judge([{ who: "NATS", aheadMs: 90_000, errorMs: 1 }]))).toEqual(["warning"]);
  });

  test("recognizes a tone of the right frequency, and nothing else", () => {
    const tone = toneOf(700, 48_000, 0, 960);
    expect(isTone(tone, 48_000, 700)).toBe(true);
    expect(isTone(tone, 48_000, 1150)).toBe(false);
    expect(isTone(new Int16Array(960), 48_000, 700)).toBe(false);
    const noise = Int16Array.from({ length: 960 }, (_, i) => ((i * 7919) % 16_000) - 8000);
    expect(isTone(noise, 48_000, 700)).toBe(false);
    const faint = tone.map((sample) => sample / 30);
    expect(isTone(faint, 48_000, 700)).toBe(false);
  });
});
