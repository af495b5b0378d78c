// The dead letters over HTTP.
import { afterEach, describe, expect, it } from "vitest";
import { deadLetters } from "../../../../../libs/contracts/streams.ts";
import { type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
afterEach(() => rig.stop());

const bury = (n: number, tenant = "default", more: { payload?: string; subject?: string } = {}) =>
  rig.bus.streams.publish(deadLetters, {
    subject: `session.${tenant}.s${n}.ready`,
    stream: "SESSIONS",
    sequence: n,
    reason: `reason ${n}`,
    deliveries: 1,
    at: "2026-01-01T00:00:00.000Z",
    payload: "{",
    ...more,
  });

describe("dead letters", () => {
  it("are listed newest first with their reason, a page at a time", async () => {
    rig = await startRig();
    for (let n = 1; n <= 5; n++) await bury(n);
    const first = await rig.get("/api/dead-letters?limit=3");
    expect(first.status).toBe(200);
    expect(first.body.deadLetters.map(({ reason }: { reason: string }) => reason)).toEqual([
      "reason 5",
      "reason 4",
      "reason 3",
    ]);
    expect(first.body.deadLetters[0]).toEqual({
      id: 5,
      at: "2026-01-01T00:00:00.000Z",
      subject: "session.default.s5.ready",
      reason: "reason 5",
      deliveries: 1,
      payload: "{",
    });
    const second = await rig.get(`/api/dead-letters?limit=3&cursor=${first.body.nextCursor}`);
    expect(second.body.deadLetters.map(({ id }: { id: number }) => id)).toEqual([2, 1]);
    expect(second.body.nextCursor).toBeNull();
  });

  it("show the beginning of a long payload", async () => {
    rig = await startRig();
    await bury(1, "default", { payload: "x".repeat(16_000) });
    const { body } = await rig.get("/api/dead-letters");
    expect(body.deadLetters[0].payload).toBe("x".repeat(1000));
  });

  it("of other tenants are not shown, and those of one's own behind them are found", async () => {
    rig = await startRig();
    await bury(1);
    for (let n = 2; n <= 12; n++) await bury(n, "other");
    const { body } = await rig.get("/api/dead-letters?limit=2");
    expect(body.deadLetters.map(({ id }: { id: number }) => id)).toEqual([1]);
    expect(JSON.stringify(body)).not.toContain("other");
  });

  it.each([
    ["session.default.s1.ready", true],
    ["overflow.session.default.s1.ready", true],
    ["relief.default.other.s1.ready", false],
    ["$KV.sessions.default.s1", true],
    ["$KV.launches.default.s1.2", true],
    ["call.default.20260101.s1", true],
    ["tasks.outbound.default", true],
    ["$KV.default.other.s1", false],
    ["$KV.hosts.default", false],
    ["tasks.default.other", false],
    ["default.default", false],
    ["dead.default.s1", false],
  ])("on %s are a tenant's own: %s, by the word where the tenant stands", async (subject, isShown) => {
    rig = await startRig();
    await bury(1, "default", { subject });
    const { body } = await rig.get("/api/dead-letters");
    expect(body.deadLetters).toHaveLength(isShown ? 1 : 0);
  });

  it("refuse a cursor that isn't theirs", async () => {
    rig = await startRig();
    for (const cursor of ["x", "-1", "0", "1e9"]) {
      expect((await rig.get(`/api/dead-letters?cursor=${cursor}`)).body.error?.code).toBe("invalid_request");
    }
  });
});
