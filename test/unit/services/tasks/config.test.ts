// The tasks service's settings. All values differ, so that none can be mistaken for another.
import { describe, expect, test } from "vitest";
import { CALL_SLOTS_MAX } from "../../../../libs/contracts/tasks/task.ts";
import { ConfigError, readConfig } from "../../../../libs/runtime/config.ts";
import { isOpen } from "../../../../services/tasks/calling-hours.ts";
import * as tasks from "../../../../services/tasks/config.ts";
import { parseProviderLimits, tasksSettings } from "../../../../services/tasks/config.ts";

test("gives the tasks service its settings: call slots, rate, calling hours and the attempts' time limit", () => {
  const settings = tasks.taskSettingsOf(
    readConfig(tasks.tasksSettings, {
      GREENROOM_TASKS_PER_TENANT: "11",
      GREENROOM_TASKS_PER_PROVIDER: "12 vapi=13",
      GREENROOM_TASK_RATE: "14.5",
      GREENROOM_CALLING_HOURS: "Mo-Fr 09:00-20:00 Europe/Berlin",
      GREENROOM_TASK_ATTEMPT_MS: "1015",
      GREENROOM_TASK_PROVIDER: "livekit",
      GREENROOM_PROVIDERS: "sales=vapi:abc",
    }),
  );
  const { limits, providerOf } = settings;
  expect(settings).toMatchObject({ rate: 14.5, deadlineMs: { attempt: 1015 } });
  expect(limits).toMatchObject({ perTenant: 11, total: CALL_SLOTS_MAX });
  expect([limits.perProvider("sip"), limits.perProvider("vapi")]).toEqual([12, 13]);
  expect([providerOf("sales"), providerOf("echo")]).toEqual(["vapi", "livekit"]);
  // A Monday in winter: 08:30 and 09:30 in Berlin.
  const hours = limits.callingHours;
  const times = ["2026-01-05T07:30:00Z", "2026-01-05T08:30:00Z"];
  expect(times.map((time) => hours && isOpen(hours, Date.parse(time)))).toEqual([false, true]);
  const byDefault = tasks.taskSettingsOf(readConfig(tasks.tasksSettings, {}));
  expect(byDefault.limits.callingHours).toBeUndefined();
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
    const read = (env: Record<string, string>) => readConfig(tasksSettings, env);
    expect(read({ GREENROOM_TASK_RATE: "0.5" }).GREENROOM_TASK_RATE).toBe(0.5);
    expect(read({}).GREENROOM_CALLING_HOURS).toBeUndefined();
    expect(() => read({ GREENROOM_CALLING_HOURS: "always" })).toThrow(ConfigError);
    expect(() => read({ GREENROOM_CALLING_HOURS: "always" })).toThrow(/GREENROOM_CALLING_HOURS: "always"/);
    expect(() => read({ GREENROOM_TASK_RATE: "0" })).toThrow(ConfigError);
    expect(() => read({ GREENROOM_TASKS_PER_PROVIDER: "fax=1" })).toThrow(/"fax" is not a provider/);
  });
});
