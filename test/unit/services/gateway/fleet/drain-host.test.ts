// Drains of hosts over HTTP.
import { afterEach, describe, expect, test } from "vitest";
import type { Drain as DrainQuestion } from "../../../../../libs/contracts/fleet/host.ts";
import { drainCommand, undrainCommand } from "../../../../../libs/contracts/streams.ts";
import { type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

describe("/api/hosts/:id/drain", () => {
  let rig: Rig;
  afterEach(() => rig.stop());

  test("drains a host, and undoes the drain", async () => {
    rig = await startRig();
    const requests: DrainQuestion[] = [];
    await rig.bus.core.serve(drainCommand, "host-1", async (options) => {
      requests.push(options);
      return { draining: true, sessions: 4 };
    });
    await rig.bus.core.serve(undrainCommand, "host-1", async () => ({ draining: false, sessions: 4 }));
    const answer = await rig.post("/api/hosts/host-1/drain", { deadlineS: 1.5 });
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({ success: true, host: "host-1", draining: true, sessions: 4 });
    await rig.post("/api/hosts/host-1/drain", { deadlineS: 0, onDeadline: "wait" });
    expect(requests).toEqual([
      { deadlineMs: 1500, onDeadline: "migrate" },
      { deadlineMs: 0, onDeadline: "wait" },
    ]);
    const undone = await rig.remove("/api/hosts/host-1/drain");
    expect(undone.status).toBe(200);
    expect(undone.body).toMatchObject({ host: "host-1", draining: false, sessions: 4 });
  });

  test("returns 404 for an unknown host, naming the known ones", async () => {
    rig = await startRig();
    const { status, body } = await rig.post("/api/hosts/nobody/drain", { deadlineS: 1 });
    expect(status).toBe(404);
    expect(body.error).toMatchObject({ code: "not_found" });
    expect(body.error.message).toContain("host-1");
  });

  test.each([
    [{}],
    [{ deadlineS: -1 }],
    [{ deadlineS: 1, onDeadline: "now" }],
    [{ deadlineS: 1, force: true }],
  ])("rejects %j", async (body) => {
    rig = await startRig();
    const answer = await rig.post("/api/hosts/host-1/drain", body);
    expect(answer.status).toBe(400);
    expect(answer.body.error.code).toBe("invalid_request");
  });
});
