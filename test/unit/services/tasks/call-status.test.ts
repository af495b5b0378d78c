// The call status of a launch.
import { describe, expect, test } from "vitest";
import type { LaunchRecord } from "../../../../libs/contracts/providers/provider.ts";
import { callStatusOfLaunch } from "../../../../services/tasks/call-status.ts";
import { AT } from "../../../kit/fixtures/sessions.ts";

describe("callStatusOfLaunch", () => {
  const launch = (changed: Partial<LaunchRecord>): LaunchRecord => ({
    v: 1,
    tenant: "t",
    sessionId: "t_1-1",
    attempt: 1,
    provider: "vapi",
    profile: "echo",
    state: "intended",
    by: "providers-1",
    takeovers: 0,
    at: AT,
    writeId: "",
    ...changed,
  });

  test("treats an unanswered request as possibly dialed", () => {
    expect(callStatusOfLaunch(launch({}))).toEqual({ status: "dialing" });
    expect(callStatusOfLaunch(launch({ state: "unknown" }))).toEqual({ status: "unknown" });
    expect(callStatusOfLaunch(launch({ state: "over" }))).toBeUndefined();
    expect(callStatusOfLaunch(launch({ state: "over", call: { status: "busy" } }))).toEqual({
      status: "busy",
    });
    expect(callStatusOfLaunch(launch({ provider: "livekit" }))).toBeUndefined();
  });
});
