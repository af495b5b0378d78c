// The headline of a session in `greenroom inspect`.
import { expect, test } from "vitest";
import { plain, sessionText } from "../../../../cli/inspect/print.ts";
import { aSession } from "../../../kit/fixtures/sessions.ts";

const headlineOf = (record: ReturnType<typeof aSession>): string =>
  sessionText(
    {
      subject: { kind: "session", tenant: "t", id: "s" },
      verdict: "ready",
      timeline: [],
      record,
      steps: [],
      gone: [],
    },
    undefined,
    plain,
  );

test("contains the version of the agent's code, if the agent reported one", () => {
  expect(headlineOf(aSession("s", { version: "v1.2" }))).toContain(
    "profile echo, provider pool, version v1.2, room",
  );
  expect(headlineOf(aSession("s"))).toContain("profile echo, provider pool, room");
});
