// Metadata that a client gives: what is too large is refused before it is gone through.
import { expect, test } from "vitest";
import { Metadata } from "../../../../../libs/contracts/sessions/session.ts";

const messagesOf = (value: unknown): string[] =>
  (Metadata.safeParse(value).error?.issues ?? []).map(({ message }) => message);

test("metadata that is too large is told so, and nobody looks what else is wrong with it", () => {
  const large = { text: "x".repeat(5000), notJson: () => undefined };
  expect(messagesOf(large)).toEqual(["metadata may be 4,096 bytes of JSON at most"]);
});

test("small metadata may be any JSON, and nothing else", () => {
  const topics = { topic: ["a", 1, null, true, { deeper: [] }] };
  expect(Metadata.parse(topics)).toEqual(topics);
  expect(messagesOf({ notJson: () => undefined })).toHaveLength(1);
  expect(messagesOf(["no", "record"])).toHaveLength(1);
});
