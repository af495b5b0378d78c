// Ids and fingerprints: equal values give equal ones in every process.
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { base62, fingerprint, sha256 } from "../../../../libs/domain/ids.ts";

describe("base62", () => {
  it("writes 128 bits as 22 letters and digits", () => {
    expect(base62(new Uint8Array(16))).toBe("0".repeat(22));
    expect(base62(new Uint8Array(16).fill(255))).toBe("7n42DGM5Tflk9n8mt7Fhc7");
    expect(base62(Uint8Array.from([...new Array(15).fill(0), 61]))).toBe(`${"0".repeat(21)}z`);
  });

  it("reads no more than the first 16 bytes", () => {
    const bytes = sha256("a");
    expect(base62(bytes)).toBe(base62(bytes.subarray(0, 16)));
    expect(base62(bytes)).not.toBe(base62(bytes.subarray(1)));
  });
});

describe("sha256", () => {
  it("hashes the JSON of a value, so the parts of a list stay apart", () => {
    expect(sha256(["a"]).toString("hex")).toBe(createHash("sha256").update('["a"]').digest("hex"));
    expect(sha256(["ab", "c"])).not.toEqual(sha256(["a", "bc"]));
  });
});

describe("fingerprint", () => {
  it("ignores the order of fields and fields without a value, and nothing else", () => {
    expect(fingerprint({ a: 1, b: { c: [1, 2], d: undefined } })).toBe(
      fingerprint({ b: { c: [1, 2] }, a: 1 }),
    );
    expect(fingerprint({ a: [1, 2] })).not.toBe(fingerprint({ a: [2, 1] }));
    expect(fingerprint({ a: "1" })).not.toBe(fingerprint({ a: 1 }));
    expect(fingerprint({ a: {} })).not.toBe(fingerprint({ a: [] }));
    expect(fingerprint({})).toMatch(/^[0-9a-f]{32}$/);
  });
});
