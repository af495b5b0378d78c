// DELETE …/data and /api/deletion-jobs: requests to delete data, and their progress.
import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { deletionJobs } from "../../../../../libs/contracts/buckets.ts";
import { deletionJobKey } from "../../../../../libs/contracts/privacy/deletion.ts";
import { type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await startRig();
});
afterEach(() => rig.stop());

const stored = async (id: string) => rig.bus.kv.get(deletionJobs, deletionJobKey("default", id));

describe("DELETE …/data", () => {
  test("creates a job for a tenant, and returns the same job for a repeated request", async () => {
    const first = await rig.remove("/api/tenants/default/data?askedBy=the%20controller");
    expect(first.status).toBe(202);
    expect(first.body.job).toMatchObject({ kind: "tenant", state: "asked", askedBy: "api: the controller" });
    const again = await rig.remove("/api/tenants/default/data");
    expect(again.body.job.id).toBe(first.body.job.id);
    expect((await stored(first.body.job.id))?.value.tenant).toBe("default");
  });

  test("shows a hash instead of the user in every answer", async () => {
    const { status, body } = await rig.remove("/api/tenants/default/users/%2B15550100/data");
    expect(status).toBe(202);
    const hash = createHash("sha256").update("default\n+15550100").digest("hex");
    expect(body.job).toMatchObject({ kind: "user", userHash: hash });
    const listed = await rig.get("/api/deletion-jobs");
    const one = await rig.get(`/api/deletion-jobs/${body.job.id}`);
    for (const answer of [body, listed.body, one.body])
      expect(JSON.stringify(answer)).not.toContain("15550100");
    expect((await stored(body.job.id))?.value.user).toBe("+15550100");
    const other = await rig.remove("/api/tenants/default/users/ann/data");
    expect(other.body.job.id).not.toBe(body.job.id);
  });

  test("is forbidden for another tenant", async () => {
    expect((await rig.remove("/api/tenants/other/data")).status).toBe(403);
    expect((await rig.remove("/api/tenants/other/users/ann/data")).status).toBe(403);
    expect(await rig.bus.kv.entries(deletionJobs)).toEqual([]);
  });
});

describe("GET /api/deletion-jobs", () => {
  test("lists jobs newest first, with their counts and receipt", async () => {
    const { body } = await rig.remove("/api/tenants/default/data");
    const entry = await stored(body.job.id);
    const done = {
      ...entry!.value,
      ...{
        state: "done" as const,
        counts: { CALLS: 3 },
        receipt: "a.b.c",
        finishedAt: "2026-01-01T00:00:00.000Z",
      },
    };
    await rig.bus.kv.update(deletionJobs, done, entry!.revision);
    const next = await rig.remove("/api/tenants/default/data");
    expect(next.body.job.id).not.toBe(body.job.id);
    const { jobs } = (await rig.get("/api/deletion-jobs")).body;
    expect(jobs.map((job: { id: string }) => job.id).sort()).toEqual([body.job.id, next.body.job.id].sort());
    expect((await rig.get(`/api/deletion-jobs/${body.job.id}`)).body.job).toMatchObject({
      state: "done",
      counts: { CALLS: 3 },
      receipt: "a.b.c",
    });
    expect((await rig.get("/api/deletion-jobs?limit=1")).body.jobs).toHaveLength(1);
  });

  test("hides jobs of other tenants", async () => {
    const { body } = await rig.remove("/api/tenants/default/data");
    const entry = await stored(body.job.id);
    await rig.bus.kv.update(deletionJobs, { ...entry!.value, tenant: "other", id: "del_other" }, 0);
    expect((await rig.get("/api/deletion-jobs")).body.jobs).toHaveLength(1);
    expect((await rig.get("/api/deletion-jobs/del_other")).status).toBe(404);
  });
});
