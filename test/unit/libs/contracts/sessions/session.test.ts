// Metadata of clients: rejected by size before its contents are checked.
import { expect, test } from "vitest";
import { Metadata } from "../../../../../libs/contracts/sessions/session.ts";

const messagesOf = (value: unknown): string[] =>
  (Metadata.safeParse(value).error?.issues ?? []).map(({ message }) => message);

test("rejects large metadata by its size alone", () => {
  const large = { text: "x".repeat(5000), notJson: () => undefined };
  expect(messagesOf(large)).toEqual(["metadata may be 4,096 bytes of JSON at most"]);
});

test("accepts any small JSON object, and nothing else", () => {
  const topics = { topic: ["a", 1, null, true, { deeper: [] }] };
  expect(Metadata.parse(topics)).toEqual(topics);
  expect(messagesOf({ notJson: () => undefined })).toHaveLength(1);
  expect(messagesOf(["no", "record"])).toHaveLength(1);
});
