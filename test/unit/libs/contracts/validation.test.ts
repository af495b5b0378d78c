// Validation of other people's input.
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { faultsOf, isDeeperThan } from "../../../../libs/contracts/validation.ts";

describe("faultsOf", () => {
  const schema = z.object({ a: z.number(), b: z.object({ c: z.string() }), d: z.string() });
  const faults = (value: unknown, most?: number) => {
    const { error } = schema.safeParse(value);
    return error === undefined ? "none" : faultsOf(error, most);
  };

  test("names each field with its fault", () => {
    expect(faults({ a: "1", b: { c: 2 }, d: "x" })).toMatch(/^a: .*number.*; b\.c: .*string/);
  });

  test("describes a value that is no object without a field", () => {
    expect(faults("text")).toMatch(/^Invalid input/);
  });

  test("stops after the given number of faults", () => {
    expect(faults({ b: {} }, 2).split("; ")).toHaveLength(2);
  });
});

describe("isDeeperThan", () => {
  const nested = (levels: number, core: unknown = 1) => {
    let value = core;
    for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { field: value };
    return value;
  };

  test.each([[1], [[]], [null]])("counts objects and arrays around %j, not values", (core) => {
    const own = Array.isArray(core) ? 1 : 0;
    expect(isDeeperThan(32, nested(32 - own, core))).toBe(false);
    expect(isDeeperThan(32, nested(33 - own, core))).toBe(true);
  });

  test("finds the deepest of several branches", () => {
    expect(isDeeperThan(3, { a: 1, b: [], c: { d: [{}] } })).toBe(true);
    expect(isDeeperThan(4, { a: 1, b: [], c: { d: [{}] } })).toBe(false);
  });

  test("survives a nesting that would overflow the stack", () => {
    expect(isDeeperThan(64, nested(200_000))).toBe(true);
    expect(isDeeperThan(300_000, nested(200_000))).toBe(false);
  });
});
