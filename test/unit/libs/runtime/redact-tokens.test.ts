// Tokens in log lines and texts.
import { expect, test } from "vitest";
import { createLog } from "../../../../libs/runtime/log.ts";
import { redactTokens } from "../../../../libs/runtime/redact-tokens.ts";

const token = ["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiJhZ2VudCJ9", "c2lnbmF0dXJlLW9mLWl0"].join(".");

test("removes a token from a text, and keeps the rest", () => {
  expect(redactTokens(`401 Unauthorized - invalid token: ${token}, error: not valid yet`)).toBe(
    "401 Unauthorized - invalid token: (a token), error: not valid yet",
  );
  expect(redactTokens("a.b.c, eyJ, and 1.2.3")).toBe("a.b.c, eyJ, and 1.2.3");
});

test("keeps tokens out of log lines: messages, fields and stacks", () => {
  const lines: string[] = [];
  const log = createLog("gateway", "info", { write: (line) => void lines.push(line) });
  log.info({ url: `ws://livekit/rtc?access_token=${token}` }, `joining with ${token}`);
  log.error({ error: new Error(`invalid token: ${token}`) }, "could not join");
  expect(lines).toHaveLength(2);
  expect(lines.join("")).not.toContain("eyJ");
  expect(lines.map((line) => JSON.parse(line).msg)).toEqual(["joining with (a token)", "could not join"]);
});
