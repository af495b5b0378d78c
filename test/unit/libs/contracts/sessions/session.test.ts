// Metadata of clients: rejected by size before its contents are checked.
import { expect, test } from "vitest";
import {
  jobMetadataOf,
  jobMetadataOfText,
  LargeMetadata,
  Metadata,
  metadataOfText,
  metadataTextOf,
} from "../../../../../libs/contracts/sessions/session.ts";

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

test("limits large metadata by their bytes as JSON", () => {
  const of = (bytes: number) => ({ a: "é".repeat((bytes - 8) / 2) });
  expect(LargeMetadata.safeParse(of(524_288)).success).toBe(true);
  expect(LargeMetadata.safeParse(of(524_290)).error?.issues[0]?.message).toContain("524,288 bytes");
  expect(LargeMetadata.safeParse(["no", "record"]).success).toBe(false);
});

test("keeps metadata in the record up to 4 KiB, and refers to the text of larger ones", () => {
  const small = { a: "x".repeat(4088) };
  expect(jobMetadataOf(small)).toEqual({ metadata: small });
  const large = { a: "x".repeat(4089) };
  expect(jobMetadataOf(large)).toEqual({ metadata: {}, largeText: JSON.stringify(large) });
});

test.each([
  "tenant-42",
  "",
  "12345678901234567890",
  '{"a":1}',
  '{"a": 1}',
  `{"long": "${"x".repeat(1500)}"}`,
  `{"both the object and the text": "${"x".repeat(2100)}"}`,
  "x".repeat(4080),
  '"'.repeat(3000),
  `{"long":"${"é".repeat(3000)}"}`,
  `${"[".repeat(50)}${"]".repeat(50)}`,
])("keeps the text %.40j of metadata as it is, within 4 KiB or apart", (text) => {
  const { largeText, ...inRecord } = jobMetadataOfText(text);
  expect(largeText ?? metadataTextOf(inRecord)).toBe(text);
  const { metadata, metadataText = "" } = inRecord;
  expect(Buffer.byteLength(JSON.stringify(metadata) + metadataText)).toBeLessThanOrEqual(4097);
});

test("reads large text as an object, or has it in a field", () => {
  expect(metadataOfText('{ "a": 1 }')).toEqual({ a: 1 });
  expect(metadataOfText("[1]")).toEqual({ metadata: "[1]" });
});
