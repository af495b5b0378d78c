// Checks of NATS, from invented answers.
import { describe, expect, test } from "vitest";
import type { Finding } from "../../../../cli/doctor/check.ts";
import {
  jetstreamCheck,
  natsCheck,
  storeRightsCheck,
  subjectRightsCheck,
  syncCheck,
} from "../../../../cli/doctor/nats-checks.ts";

const levels = (findings: readonly Finding[]) => findings.map(({ level }) => level);
const text = (findings: readonly Finding[]) =>
  findings.map(({ message: description, todo }) => `${description} ${todo ?? ""}`).join("\n");

describe("checks of NATS", () => {
  const server = {
    ...{ version: "2.15.2", name: "n1", maxPayloadBytes: 1024 * 1024, hasJetStream: true },
    ...{ cluster: undefined, domain: undefined, roundTripMs: 0.4 },
  };
  const url = "nats://127.0.0.1:4222";

  test("requires a recent server that accepts messages as large as metadata", () => {
    expect(levels(natsCheck.judge({ server, url }))).toEqual(["ok"]);
    const old = natsCheck.judge({ server: { ...server, version: "2.12.1" }, url });
    expect(levels(old)).toEqual(["failure"]);
    expect(text(old)).toContain("2.12.3");
    expect(levels(natsCheck.judge({ server: { ...server, maxPayloadBytes: 256 * 1024 }, url }))).toContain(
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
