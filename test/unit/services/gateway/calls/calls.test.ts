// Calls over HTTP: pages, single calls, exports and key figures.
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { calls } from "../../../../../libs/contracts/streams.ts";
import { systemClock } from "../../../../../libs/runtime/clock.ts";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import { KpiWriter } from "../../../../../services/calls/kpi-writer.ts";
import { csvHeader, csvLine } from "../../../../../services/gateway/calls/call-csv.ts";
import { aCall } from "../../../../kit/fixtures/calls.ts";
import { type Rig, type RigOptions, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
const start = async (options?: RigOptions) => {
  rig = await startRig(options);
};
afterEach(() => rig?.stop());

const DAY_MS = 24 * 60 * 60 * 1000;
/** The start of the current day, so that every stored call is on a known day. */
const TODAY = Math.floor(Date.now() / DAY_MS) * DAY_MS;
const day = (back: number): string => new Date(TODAY - back * DAY_MS).toISOString().slice(0, 10);

interface Stored {
  readonly daysBack?: number;
  readonly tenant?: string;
  readonly profile?: string;
  readonly isFailed?: boolean;
  readonly version?: string;
}

const store = async (
  id: string,
  { daysBack = 1, tenant = "default", profile, isFailed, version }: Stored = {},
) => {
  const call = aCall({
    id,
    tenant,
    startedAtMs: TODAY - daysBack * DAY_MS + 1000,
    startMs: 500,
    talkMs: isFailed === true ? undefined : 60_000,
    ...(profile === undefined ? {} : { profile }),
    ...(isFailed === true ? { reason: "no_capacity" as const, fault: "platform" as const } : {}),
  });
  const stored = version === undefined ? call : { ...call, version };
  await rig.bus.streams.publish(calls, stored);
  return stored;
};

const idsOf = (body: { calls: { sessionId: string }[] }): string[] =>
  body.calls.map(({ sessionId }) => sessionId);

async function allPages(path: string): Promise<string[][]> {
  const pages: string[][] = [];
  for (let cursor: string | null = ""; cursor !== null; ) {
    const { status, body } = await rig.get(`${path}${cursor === "" ? "" : `&cursor=${cursor}`}`);
    expect(status).toBe(200);
    pages.push(idsOf(body));
    cursor = body.nextCursor;
  }
  return pages;
}

describe("GET /api/calls", () => {
  test("lists one tenant's calls, newest first, over pages and days", async () => {
    await start();
    for (let n = 1; n <= 5; n++) {
      await store(`old-${n}`, { daysBack: 2 });
      await store(`theirs-${n}`, { tenant: "other" });
    }
    for (let n = 1; n <= 4; n++) await store(`new-${n}`);
    const pages = await allPages("/api/calls?limit=3");
    expect(pages.flat()).toEqual([
      "new-4",
      "new-3",
      "new-2",
      "new-1",
      "old-5",
      "old-4",
      "old-3",
      "old-2",
      "old-1",
    ]);
    expect(pages.map(({ length }) => length)).toEqual([3, 3, 3]);
  });

  test("lists every call once, however days and tenants are mixed in the stream", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ daysBack: fc.integer({ min: 0, max: 3 }), isOurs: fc.boolean() }), {
          maxLength: 40,
        }),
        fc.integer({ min: 1, max: 7 }),
        async (all, limit) => {
          await start();
          for (const [n, { daysBack, isOurs }] of all.entries())
            await store(`s${n}`, { daysBack, tenant: isOurs ? "default" : "other" });
          const expected = [0, 1, 2, 3].flatMap((back) =>
            all
              .flatMap(({ daysBack, isOurs }, n) => (isOurs && daysBack === back ? [`s${n}`] : []))
              .reverse(),
          );
          expect((await allPages(`/api/calls?limit=${limit}`)).flat()).toEqual(expected);
          await rig.stop();
        },
      ),
      { numRuns: 15 },
    );
  });

  test("filters by profile, outcome, version, day and time", async () => {
    await start();
    await store("a", { profile: "support", version: "v2" });
    await store("b", { isFailed: true });
    await store("c", { daysBack: 3 });
    const list = async (query: string) => idsOf((await rig.get(`/api/calls?${query}`)).body);
    expect(await list("profile=support")).toEqual(["a"]);
    expect(await list("outcome=failed")).toEqual(["b"]);
    expect(await list("version=v2")).toEqual(["a"]);
    expect(await list(`from=${day(1)}&to=${day(1)}`)).toEqual(["b", "a"]);
    expect(await list(`from=${day(3)}&to=${day(3)}`)).toEqual(["c"]);
    // "b" ended half a second after its start, "a" a minute later.
    expect(await list(`from=${day(1)}T00:00:00Z&to=${day(1)}T00:00:30Z`)).toEqual(["b"]);
    expect(await list(`from=${day(1)}T02:00:00%2B02:00&to=${day(1)}T00:00:30Z`)).toEqual(["b"]);
  });

  test("rejects a foreign cursor and a range that ends before it begins", async () => {
    await start();
    expect(await rig.get("/api/calls?cursor=nonsense")).toMatchObject({
      status: 400,
      body: { error: { message: expect.stringContaining("nextCursor") } },
    });
    expect((await rig.get(`/api/calls?from=${day(0)}&to=${day(3)}`)).status).toBe(400);
    expect((await rig.get("/api/calls?from=yesterday")).status).toBe(400);
    expect((await rig.get("/api/calls?from=2020-01-01")).body.error.message).toContain("400 days");
  });
});

describe("GET /api/calls/:id", () => {
  test("returns the call of a session with all its fields but the tenant", async () => {
    await start();
    const { tenant: _tenant, v: _v, ...call } = await store("a");
    expect((await rig.get("/api/calls/a")).body).toEqual({ success: true, ...call });
  });

  test("returns 404 while the session has not ended, naming its state", async () => {
    await start();
    const { sessionId } = (await rig.post("/api/session/start", {})).body;
    const { status, body } = await rig.get(`/api/calls/${sessionId}`);
    expect(status).toBe(404);
    expect(body.error.message).toContain("its session is ready");
    expect((await rig.get("/api/calls/nobody")).status).toBe(404);
  });

  test("returns 404 for a call of another tenant", async () => {
    await start();
    await store("theirs", { tenant: "other" });
    expect((await rig.get("/api/calls/theirs")).status).toBe(404);
  });
});

describe("GET /api/calls/export", () => {
  test("writes one line for each call, both as CSV and as NDJSON", async () => {
    await start();
    const stored = [await store("a", { daysBack: 2 }), await store("b")];
    await store("theirs", { tenant: "other" });
    const csv = await rig.get("/api/calls/export");
    expect(csv.headers["content-type"]).toContain("text/csv");
    expect(csv.headers["content-disposition"]).toMatch(/^attachment; filename="calls-\d{8}-\d{8}\.csv"$/);
    expect(csv.body).toBe(csvHeader() + stored.map(csvLine).join(""));
    const lines = await rig.get("/api/calls/export?format=ndjson");
    expect(lines.headers["content-type"]).toContain("application/x-ndjson");
    const parsed = String(lines.body)
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(parsed.map(({ sessionId }) => sessionId)).toEqual(["a", "b"]);
    const byAccept = await rig.get("/api/calls/export", { accept: "application/x-ndjson" });
    expect(byAccept.body).toEqual(lines.body);
  });

  test("exports each call once over many pages", async () => {
    await start();
    for (let n = 0; n < 600; n++) await store(`s${n}`);
    const { body } = await rig.get("/api/calls/export?format=ndjson");
    const ids = String(body)
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).sessionId);
    expect(ids).toEqual(Array.from({ length: 600 }, (_, n) => `s${n}`));
  });

  test("returns a header alone when there are no calls", async () => {
    await start();
    expect((await rig.get("/api/calls/export")).body).toBe(csvHeader());
    expect((await rig.get("/api/calls/export?format=ndjson")).body).toBe("");
  });
});

describe("GET /api/kpis", () => {
  test("returns key figures by day, by profile and in total, in agreement with the calls", async () => {
    await start();
    await store("a", { daysBack: 2 });
    await store("b");
    await store("c", { profile: "support", isFailed: true });
    await store("theirs", { tenant: "other" });
    const writer = new KpiWriter({
      bus: rig.bus,
      clock: systemClock,
      log: silentLog,
      settings: { intervalMs: 1000, lookbackDays: 3 },
    });
    await writer.refresh();
    const { status, body } = await rig.get("/api/kpis");
    expect(status).toBe(200);
    expect(body.days.map(({ day: at, calls: n }: { day: string; calls: number }) => [at, n])).toEqual([
      [day(2), 1],
      [day(1), 2],
    ]);
    expect(body.total).toMatchObject({ calls: 3, answered: 2, successRate: 2 / 3, warmHitRate: 1 });
    expect(body.total.startMs).toMatchObject({ count: 2, avgMs: 500 });
    expect(body.profiles).toMatchObject({
      echo: { calls: 2, successRate: 1 },
      support: { calls: 1, successRate: 0, warmHitRate: null, outcomes: { failed: 1 } },
    });
    expect((await rig.get(`/api/kpis?from=${day(1)}&profile=support`)).body).toMatchObject({
      total: { calls: 1 },
      days: [{ day: day(1), calls: 1 }],
    });
  });

  test("returns no shares for days without calls", async () => {
    await start();
    const { body } = await rig.get("/api/kpis");
    expect(body).toMatchObject({
      days: [],
      profiles: {},
      total: { calls: 0, successRate: null, startMs: null },
    });
  });
});
