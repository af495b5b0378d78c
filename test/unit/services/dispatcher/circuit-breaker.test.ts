// The circuit breaker over hosts: when it sets a host aside, and when it trusts the host again.
import { beforeEach, describe, expect, test } from "vitest";
import { CircuitBreaker } from "../../../../services/dispatcher/circuit-breaker.ts";
import { aSession } from "../../../kit/fixtures/sessions.ts";

let nowMs: number;
let circuitBreaker: CircuitBreaker;
let sessions: number;
beforeEach(() => {
  nowMs = 0;
  sessions = 0;
  circuitBreaker = new CircuitBreaker(() => nowMs);
});

const on = (host: string, profile = "echo") =>
  aSession(`s${++sessions}`, { state: "dispatched", host, hostEpoch: 1, profile });
const fail = (host: string, profile?: string) => circuitBreaker.failed(on(host, profile), "it broke");
const succeed = (host: string, profile?: string) => circuitBreaker.succeeded(on(host, profile));

const reason = (...gone: string[]) => circuitBreaker.reason((host) => !gone.includes(host));

/** Three sessions fail on the host, and succeed on another one. */
const trip = (host = "bad") => {
  for (let session = 0; session < 3; session++) {
    fail(host);
    succeed("good");
  }
};

describe("CircuitBreaker", () => {
  test("sets a host aside after three failures in a row, while starts succeed elsewhere", () => {
    fail("bad");
    succeed("good");
    fail("bad");
    expect(circuitBreaker.isSetAside("bad", "echo")).toBe(false);
    fail("bad");
    expect(circuitBreaker.isSetAside("bad", "echo")).toBe(true);
    expect(circuitBreaker.isSetAside("good", "echo")).toBe(false);
    expect(circuitBreaker.isSetAside("bad", "talk")).toBe(false);
    expect(reason()).toMatch(/^bad is set aside for echo: 3 starts failed there .* it broke$/);
  });

  test("sets no host aside for a file that fails everywhere, or while only one host has the profile", () => {
    for (let round = 0; round < 20; round++) for (const host of ["a", "b", "c"]) fail(host);
    for (let round = 0; round < 20; round++) fail("only", "talk");
    succeed("a", "other");
    for (const host of ["a", "b", "c"]) expect(circuitBreaker.isSetAside(host, "echo")).toBe(false);
    expect(circuitBreaker.isSetAside("only", "talk")).toBe(false);
    expect(reason()).toBeUndefined();
  });

  test("counts a session that fails several times once, and begins again after a success", () => {
    const session = on("bad");
    for (let attempt = 0; attempt < 5; attempt++) circuitBreaker.failed(session, "it broke");
    succeed("good");
    expect(circuitBreaker.isSetAside("bad", "echo")).toBe(false);
    fail("bad");
    succeed("bad");
    succeed("good");
    fail("bad");
    fail("bad");
    expect(circuitBreaker.isSetAside("bad", "echo")).toBe(false);
  });

  test("gives one session to a host on trial, and trusts the host after its success", () => {
    trip();
    nowMs = 10_000;
    expect(circuitBreaker.isSetAside("bad", "echo")).toBe(false);
    expect(reason()).toContain("bad is set aside");
    circuitBreaker.onChosen("bad", "echo");
    expect(circuitBreaker.isSetAside("bad", "echo")).toBe(true);
    expect(circuitBreaker.isAtFault("bad", "echo")).toBe(true);
    succeed("bad");
    expect(circuitBreaker.isSetAside("bad", "echo")).toBe(false);
    expect(circuitBreaker.isAtFault("bad", "echo")).toBe(false);
    expect(reason()).toBeUndefined();
  });

  test("waits twice as long after each failed trial, up to five minutes", () => {
    trip();
    const waits: number[] = [];
    for (let trial = 0; trial < 7; trial++) {
      const since = nowMs;
      while (circuitBreaker.isSetAside("bad", "echo")) nowMs += 1000;
      waits.push(nowMs - since);
      circuitBreaker.onChosen("bad", "echo");
      fail("bad");
    }
    expect(waits).toEqual([10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  });

  test("blames the file when a trial fails while starts fail on other hosts too", () => {
    trip();
    nowMs = 10_000;
    fail("good");
    circuitBreaker.onChosen("bad", "echo");
    fail("bad");
    expect(circuitBreaker.isSetAside("bad", "echo")).toBe(false);
  });

  test("forgets a host that registered again", () => {
    trip();
    circuitBreaker.onRegistered("bad", 1);
    expect(circuitBreaker.isSetAside("bad", "echo")).toBe(true);
    circuitBreaker.onRegistered("bad", 2);
    expect(circuitBreaker.isSetAside("bad", "echo")).toBe(false);
  });

  test("remembers a host without a registration until its time is over, and does not report it", () => {
    trip();
    expect(reason("bad")).toBeUndefined();
    expect(reason()).toContain("bad is set aside");
    nowMs = 10_000;
    expect(reason("bad")).toBeUndefined();
    expect(circuitBreaker.isAtFault("bad", "echo")).toBe(false);
  });
});
