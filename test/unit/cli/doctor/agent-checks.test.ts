// Checks of agent files and of providers' keys.
import { describe, expect, test } from "vitest";
import { agentsCheck, keysCheck, poolFaultsOf } from "../../../../cli/doctor/agent-checks.ts";
import type { Finding } from "../../../../cli/doctor/check.ts";

const levels = (findings: readonly Finding[]) => findings.map(({ level }) => level);

describe("checks of agent files and keys", () => {
  test("classifies agent files as warm, disabled or broken", () => {
    const warm = {
      profile: "a",
      file: "/a.ts",
      outcome: "warm",
      tookMs: 5,
      poolFaults: [],
      sharedVariables: [],
    } as const;
    const judge = (agents: Parameters<typeof agentsCheck.judge>[0]["agents"]) =>
      agentsCheck.judge({ folder: "agents", agents });
    expect(levels(judge([warm]))).toEqual(["ok"]);
    expect(levels(judge([]))).toEqual(["warning"]);
    expect(levels(judge([{ ...warm, poolFaults: poolFaultsOf({ min: -1 }) }]))).toEqual(["failure"]);
    const { profile, file } = warm;
    expect(levels(judge([{ profile, file, outcome: "failed", reason: "it throws" }]))).toEqual(["failure"]);
    expect(levels(judge([{ profile, file, outcome: "disabled", reason: "a key" }]))).toEqual(["warning"]);
    const unused = { profile, file, outcome: "disabled", reason: "a key", isUsed: false } as const;
    expect(levels(judge([unused]))).toEqual(["note"]);
  });

  test("warns of variables that sessions share, and of a file without an agent", () => {
    const file = { profile: "a", file: "/a.ts" };
    const sharedVariables = [{ name: "account", line: 3, file: "state.ts" }];
    const warm = { ...file, outcome: "warm", tookMs: 5, poolFaults: [], sharedVariables } as const;
    const findings = agentsCheck.judge({ folder: "agents", agents: [warm] });
    expect(levels(findings)).toEqual(["ok", "warning"]);
    expect(findings[1]?.message).toContain("account (state.ts:3)");
    const none = { ...file, outcome: "no agent" } as const;
    expect(levels(agentsCheck.judge({ folder: "agents", agents: [none] }))).toEqual(["warning"]);
  });

  test("accepts a pool export with omissions, not with errors", () => {
    expect(poolFaultsOf({ min: 3, hot: 1 })).toEqual([]);
    expect(poolFaultsOf({})).toEqual([]);
    expect(poolFaultsOf({ min: "three" }).join()).toContain("min");
  });

  test("classifies a key as missing, untried, accepted, refused or unreachable", () => {
    const key = { name: "K", provider: "P", usedBy: ["a"], isSet: true };
    const judge = (isSet: boolean, answer: Parameters<typeof keysCheck.judge>[0][number]["answer"]) =>
      levels(keysCheck.judge([{ ...key, isSet, answer }]));
    expect(judge(false, undefined)).toEqual(["warning"]);
    expect(levels(keysCheck.judge([{ ...key, isSet: false, isUsed: false, answer: undefined }]))).toEqual([
      "note",
    ]);
    expect(judge(true, undefined)).toEqual(["skipped"]);
    expect(judge(true, { kind: "accepted" })).toEqual(["ok"]);
    expect(judge(true, { kind: "rejected", status: 401 })).toEqual(["failure"]);
    expect(judge(true, { kind: "unexpected", status: 500 })).toEqual(["warning"]);
    expect(judge(true, { kind: "unreachable", reason: "no route" })).toEqual(["failure"]);
    expect(levels(keysCheck.judge([]))).toEqual(["ok"]);
  });
});
