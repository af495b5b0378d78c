// The pure decisions of the tasks service: calling hours, the next task, and settings.
import { describe, expect, test } from "vitest";
import type { LaunchRecord, ProviderName } from "../../../../libs/contracts/providers/provider.ts";
import { ConfigError, readConfig } from "../../../../libs/runtime/config.ts";
import { callStatusOfLaunch } from "../../../../services/tasks/call-status.ts";
import { isOpen, parseCallingHours } from "../../../../services/tasks/calling-hours.ts";
import { chooseNext, type Limits, type QueuedTask } from "../../../../services/tasks/choose-next.ts";
import { parseProviderLimits, tasksSettings } from "../../../../services/tasks/config.ts";
import { isKnownProfile } from "../../../../services/tasks/handle-task-request.ts";
import { AT, aHost } from "../../../kit/fixtures/sessions.ts";

describe("parseCallingHours and isOpen", () => {
  const open = (hours: string, at: string) => isOpen(parseCallingHours(hours), Date.parse(at));
  const BERLIN = "Mo-Fr 09:00-20:00 Europe/Berlin";

  test("respects the hours' own time zone, in summer and in winter", () => {
    expect(open(BERLIN, "2026-07-01T07:00:00Z")).toBe(true);
    expect(open(BERLIN, "2026-07-01T06:59:00Z")).toBe(false);
    expect(open(BERLIN, "2026-01-05T07:59:00Z")).toBe(false);
    expect(open(BERLIN, "2026-01-05T08:00:00Z")).toBe(true);
    expect(open(BERLIN, "2026-01-05T18:59:59Z")).toBe(true);
    expect(open(BERLIN, "2026-01-05T19:00:00Z")).toBe(false);
  });

  test("respects the local date", () => {
    expect(open(BERLIN, "2026-07-04T10:00:00Z"), "Saturday").toBe(false);
    // Friday evening in New York is Saturday in UTC.
    expect(open("Fr 20:00-23:00 America/New_York", "2026-07-04T01:00:00Z")).toBe(true);
  });

  test("supports several ranges, over midnight, over the weekend, or the whole day", () => {
    const two = "Mo-Fr 09:00-12:00, Sa+Su 10:00-11:00 UTC";
    expect(open(two, "2026-07-05T10:30:00Z")).toBe(true);
    expect(open(two, "2026-07-06T12:30:00Z")).toBe(false);
    expect(open("Fr 22:00-02:00 UTC", "2026-07-04T01:59:00Z")).toBe(true);
    expect(open("Fr 22:00-02:00 UTC", "2026-07-03T01:59:00Z")).toBe(false);
    expect(open("Sa-Mo 00:00-24:00 UTC", "2026-07-05T23:59:00Z")).toBe(true);
    expect(open("Sa-Mo 00:00-24:00 UTC", "2026-07-07T00:00:00Z")).toBe(false);
    expect(open("08:00-09:00 Asia/Kolkata", "2026-07-07T02:31:00Z")).toBe(true);
  });

  test.each([
    ["Mo-Fr 09:00-20:00", /is not valid/],
    ["Mo-Fr 9-20 Europe/Berlin", /is not valid/],
    ["Mo-Xx 09:00-20:00 Europe/Berlin", /"Xx" is not a day/],
    ["Mo-Fr 09:00-25:00 Europe/Berlin", /"25:00" is not a time/],
    ["Mo-Fr 09:00-20:00 Europe/Berlyn", /"Europe\/Berlyn" is not a known time zone/],
    ["", /is not valid/],
  ])("rejects %j with a reason", (text, reason) => {
    expect(() => parseCallingHours(text)).toThrow(reason);
  });
});

describe("chooseNext", () => {
  let sequence = 0;
  const task = (id: string, more: Partial<QueuedTask> = {}): QueuedTask => ({
    tenant: "a",
    taskId: id,
    attempt: 1,
    life: 1,
    provider: "sip",
    profile: "echo",
    queueSeq: ++sequence,
    restMs: 0,
    ...more,
  });
  const limits = (more: Partial<Limits> = {}): Limits => ({
    perTenant: 10,
    perProvider: () => 10,
    total: 100,
    starts: 100,
    callingHours: undefined,
    freeAgents: () => 100,
    ...more,
  });
  const chosen = (
    queued: QueuedTask[],
    more: Partial<Limits> = {},
    running: { tenant: string; provider: ProviderName }[] = [],
    now = 0,
  ) => chooseNext(queued, running, limits(more), now).map(({ taskId: id }) => id);

  test("chooses the oldest tasks within the limits of rate, tenant, provider, agents and total", () => {
    const queued = ["t_1", "t_2", "t_3", "t_4"].map((id) => task(id));
    expect(chosen(queued)).toEqual(["t_1", "t_2", "t_3", "t_4"]);
    expect(chosen(queued, { starts: 2 })).toEqual(["t_1", "t_2"]);
    expect(chosen(queued, { perTenant: 3 }, [{ tenant: "a", provider: "pool" }])).toEqual(["t_1", "t_2"]);
    expect(chosen(queued, { perProvider: () => 2 }, [{ tenant: "b", provider: "sip" }])).toEqual(["t_1"]);
    expect(chosen(queued, { freeAgents: () => 3 })).toEqual(["t_1", "t_2", "t_3"]);
    expect(chosen(queued, { total: 1 })).toEqual(["t_1"]);
    expect(chosen(queued, { total: 1 }, [{ tenant: "b", provider: "pool" }])).toEqual([]);
  });

  test("skips tasks that can't start yet", () => {
    const queued = [
      task("t_later", { notBeforeMs: 1000 }),
      task("t_rests", { restMs: 1 }),
      task("t_full", { provider: "vapi" }),
      task("t_no-agent", { profile: "sales" }),
      task("t_now"),
    ];
    const more: Partial<Limits> = {
      perProvider: (provider) => (provider === "vapi" ? 0 : 10),
      freeAgents: (_, profile) => (profile === "sales" ? 0 : 10),
    };
    expect(chosen(queued, more, [], 999)).toEqual(["t_now"]);
    expect(chosen(queued, more, [], 1000)).toEqual(["t_later", "t_now"]);
  });

  test("prefers a tenant with fewer attempts in progress, however long the other's queue is", () => {
    const queued = [
      ...["t_a1", "t_a2", "t_a3"].map((id) => task(id, { tenant: "a" })),
      ...["t_b1", "t_b2"].map((id) => task(id, { tenant: "b" })),
    ];
    expect(chosen(queued, { starts: 4 })).toEqual(["t_a1", "t_b1", "t_a2", "t_b2"]);
    const running = [
      { tenant: "a", provider: "sip" as const },
      { tenant: "a", provider: "sip" as const },
    ];
    expect(chosen(queued, { starts: 3 }, running)).toEqual(["t_b1", "t_b2", "t_a1"]);
  });

  test("chooses nothing outside of the calling hours", () => {
    const callingHours = parseCallingHours("09:00-10:00 UTC");
    expect(chosen([task("t_1")], { callingHours }, [], Date.parse("2026-01-01T08:00:00Z"))).toEqual([]);
    expect(chosen([task("t_1")], { callingHours }, [], Date.parse("2026-01-01T09:00:00Z"))).toEqual(["t_1"]);
  });
});

describe("isKnownProfile", () => {
  const profile = { status: "running", warm: 1, hot: 0, warming: 0, busy: 2, max: 5 } as const;

  test("reports a profile as unknown only if there are hosts", () => {
    expect(isKnownProfile([], "echo")).toBe(true);
    expect(isKnownProfile([aHost("h1", 1, { profiles: { echo: profile } })], "echo")).toBe(true);
    expect(isKnownProfile([aHost("h1")], "echo")).toBe(false);
  });
});

describe("callStatusOfLaunch", () => {
  const launch = (changed: Partial<LaunchRecord>): LaunchRecord => ({
    v: 1,
    tenant: "t",
    sessionId: "t_1-1",
    attempt: 1,
    provider: "vapi",
    profile: "echo",
    state: "intended",
    by: "providers-1",
    takeovers: 0,
    at: AT,
    writeId: "",
    ...changed,
  });

  test("treats an unanswered request as possibly dialed", () => {
    expect(callStatusOfLaunch(launch({}))).toEqual({ status: "dialing" });
    expect(callStatusOfLaunch(launch({ state: "unknown" }))).toEqual({ status: "unknown" });
    expect(callStatusOfLaunch(launch({ state: "over" }))).toBeUndefined();
    expect(callStatusOfLaunch(launch({ state: "over", call: { status: "busy" } }))).toEqual({
      status: "busy",
    });
    expect(callStatusOfLaunch(launch({ provider: "livekit" }))).toBeUndefined();
  });
});

describe("settings of the tasks service", () => {
  test("limits providers together or one by one", () => {
    const limits = parseProviderLimits("4, sip=30 vapi=0");
    expect([limits("sip"), limits("vapi"), limits("pool")]).toEqual([30, 0, 4]);
    expect(parseProviderLimits("sip=3")("pool")).toBe(10);
    for (const wrong of ["many", "sip=", "fax=3", "sip=1000000"])
      expect(() => parseProviderLimits(wrong)).toThrow();
  });

  test("rejects invalid values and names them", () => {
    const read = (env: Record<string, string>) => readConfig(tasksSettings, env, []);
    expect(read({ GREENROOM_TASK_RATE: "0.5" }).GREENROOM_TASK_RATE).toBe(0.5);
    expect(read({}).GREENROOM_CALLING_HOURS).toBeUndefined();
    expect(() => read({ GREENROOM_CALLING_HOURS: "always" })).toThrow(ConfigError);
    expect(() => read({ GREENROOM_CALLING_HOURS: "always" })).toThrow(/GREENROOM_CALLING_HOURS: "always"/);
    expect(() => read({ GREENROOM_TASK_RATE: "0" })).toThrow(ConfigError);
    expect(() => read({ GREENROOM_TASKS_PER_PROVIDER: "fax=1" })).toThrow(/"fax" is not a provider/);
  });
});
