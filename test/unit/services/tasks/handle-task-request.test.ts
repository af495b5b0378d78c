// Profiles that a task may request.
import { describe, expect, test } from "vitest";
import { isKnownProfile } from "../../../../services/tasks/handle-task-request.ts";
import { aHost } from "../../../kit/fixtures/sessions.ts";

describe("isKnownProfile", () => {
  const profile = { status: "running", warm: 1, hot: 0, warming: 0, busy: 2, max: 5 } as const;

  test("reports a profile as unknown only if there are hosts", () => {
    expect(isKnownProfile([], "echo")).toBe(true);
    expect(isKnownProfile([aHost("h1", 1, { profiles: { echo: profile } })], "echo")).toBe(true);
    expect(isKnownProfile([aHost("h1")], "echo")).toBe(false);
  });
});
