// The next tasks to start.
import { describe, expect, test } from "vitest";
import type { ProviderName } from "../../../../libs/contracts/providers/provider.ts";
import { parseCallingHours } from "../../../../services/tasks/calling-hours.ts";
import { chooseNext, type Limits, type QueuedTask } from "../../../../services/tasks/choose-next.ts";

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
