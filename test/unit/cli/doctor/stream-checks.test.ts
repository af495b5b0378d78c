// Checks of streams and buckets, from invented facts.
import { describe, expect, test } from "vitest";
import type { Finding } from "../../../../cli/doctor/check.ts";
import {
  backlogCheck,
  type StreamFacts,
  streamsCheck,
  wantedStreams,
} from "../../../../cli/doctor/stream-checks.ts";

const levels = (findings: readonly Finding[]) => findings.map(({ level }) => level);
const text = (findings: readonly Finding[]) =>
  findings.map(({ message: description, todo }) => `${description} ${todo ?? ""}`).join("\n");

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
