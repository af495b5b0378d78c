// Dead letters over HTTP.
import { afterEach, describe, expect, it } from "vitest";
import { deadLetters } from "../../../../../libs/contracts/streams.ts";
import { type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
afterEach(() => rig.stop());

const publishDeadLetter = (
  n: number,
  tenant = "default",
  more: { payload?: string; subject?: string } = {},
) =>
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

describe("GET /api/dead-letters", () => {
  it("lists dead letters newest first with their reason, in pages", async () => {
    rig = await startRig();
    for (let n = 1; n <= 5; n++) await publishDeadLetter(n);
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

  it("shows the beginning of a long payload", async () => {
    rig = await startRig();
    await publishDeadLetter(1, "default", { payload: "x".repeat(16_000) });
    const { body } = await rig.get("/api/dead-letters");
    expect(body.deadLetters[0].payload).toBe("x".repeat(1000));
  });

  it("hides those of other tenants, and finds the tenant's own behind them", async () => {
    rig = await startRig();
    await publishDeadLetter(1);
    for (let n = 2; n <= 12; n++) await publishDeadLetter(n, "other");
    const { body } = await rig.get("/api/dead-letters?limit=2");
    expect(body.deadLetters.map(({ id }: { id: number }) => id)).toEqual([1]);
    expect(JSON.stringify(body)).not.toContain("other");
  });

  it.each([
    ["session.default.s1.ready", true],
    ["overflow.session.default.s1.ready", true],
    ["overflow.default.other.s1.ready", false],
    ["$KV.sessions.default.s1", true],
    ["$KV.launches.default.s1.2", true],
    ["call.default.20260101.s1", true],
    ["tasks.outbound.default", true],
    ["$KV.default.other.s1", false],
    ["$KV.hosts.default", false],
    ["tasks.default.other", false],
    ["default.default", false],
    ["dead.default.s1", false],
  ])("attributes subject %s to the tenant: %s", async (subject, isOwn) => {
    rig = await startRig();
    await publishDeadLetter(1, "default", { subject });
    const { body } = await rig.get("/api/dead-letters");
    expect(body.deadLetters).toHaveLength(isOwn ? 1 : 0);
  });

  it("rejects a foreign cursor", async () => {
    rig = await startRig();
    for (const cursor of ["x", "-1", "0", "1e9"]) {
      expect((await rig.get(`/api/dead-letters?cursor=${cursor}`)).body.error?.code).toBe("invalid_request");
    }
  });
});
