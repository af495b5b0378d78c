// Checks of LiveKit, from invented answers.
import { describe, expect, test } from "vitest";
import type { Finding } from "../../../../cli/doctor/check.ts";
import { audioCheck, livekitCheck, webhooksCheck } from "../../../../cli/doctor/livekit-checks.ts";

const levels = (findings: readonly Finding[]) => findings.map(({ level }) => level);
const text = (findings: readonly Finding[]) =>
  findings.map(({ message: description, todo }) => `${description} ${todo ?? ""}`).join("\n");

describe("checks of LiveKit", () => {
  const accepted = { kind: "asked", url: "ws://x", isGiven: true, answers: true } as const;
  const answered = { ...accepted, refusal: undefined, rooms: 0, version: "1.13.5" };

  test("requires an answer, and acceptance of the key", () => {
    expect(levels(livekitCheck.judge(answered))).toEqual(["ok"]);
    expect(text(livekitCheck.judge({ ...answered, refusal: "invalid API key" }))).toContain(
      "rejects the key",
    );
    expect(text(livekitCheck.judge({ ...answered, answers: false }))).toContain("Nothing answers");
    const stopped = livekitCheck.judge({ ...answered, answers: false, isGiven: false });
    expect(levels(stopped)).toEqual(["skipped"]);
    expect(levels(livekitCheck.judge({ kind: "missing", names: ["LIVEKIT_API_KEY"] }))).toEqual(["failure"]);
    expect(levels(livekitCheck.judge({ kind: "none" }))).toEqual(["skipped"]);
    expect(levels(livekitCheck.judge({ kind: "simulated" }))).toEqual(["skipped"]);
  });

  test("names the version, and warns of one that is not tested", () => {
    expect(text(livekitCheck.judge(answered))).toContain("livekit-server 1.13.5 at ws://x accepts the key");
    expect(text(livekitCheck.judge({ ...answered, version: undefined }))).toContain(
      "LiveKit at ws://x accepts",
    );
    const old = livekitCheck.judge({ ...answered, version: "1.8.4" });
    expect(levels(old)).toEqual(["warning"]);
    expect(text(old)).toContain("use 1.13.0 or newer");
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
});
