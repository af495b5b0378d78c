// Checks of the running fleet, from invented heartbeats, hosts and pools.
import { describe, expect, test } from "vitest";
import type { Finding } from "../../../../cli/doctor/check.ts";
import {
  hostsCheck,
  NOTHING_RUNS,
  poolsCheck,
  type ServicesSeen,
  servicesCheck,
} from "../../../../cli/doctor/fleet-checks.ts";
import type { HostProfile, HostRecord } from "../../../../libs/contracts/fleet/host.ts";
import { RoleName, type ServiceHeartbeat } from "../../../../libs/contracts/fleet/pool.ts";

const of = (level: Finding["level"], findings: readonly Finding[]) =>
  findings.filter((finding) => finding.level === level).map(({ message }) => message);

describe("the check of services", () => {
  const heartbeat = (service: ServiceHeartbeat["service"]): ServiceHeartbeat => ({
    ...{ service, instance: `${service}-1`, pid: 1, status: "running", version: "1.0.0" },
  });
  const all = (["gateway", ...RoleName.options, "agent-host"] as const).map(heartbeat);
  const judge = (heartbeats: ServicesSeen["heartbeats"], rest: Partial<ServicesSeen> = {}) =>
    servicesCheck.judge({ heartbeats, isNatsGiven: true, usesProviders: false, ...rest });
  const without = (service: string) => all.filter((each) => each.service !== service);

  test("accepts a whole fleet", () => {
    expect(judge(all).map(({ level }) => level)).toEqual(["ok"]);
    const { version: _, ...servers } = heartbeat("nats");
    expect(judge([...all, servers]).map(({ level }) => level)).toEqual(["ok"]);
  });

  test("fails without a gateway, a dispatcher, a janitor or a host", () => {
    for (const service of ["gateway", "dispatcher", "janitor", "agent-host"])
      expect(of("failure", judge(without(service))).join()).toContain(`No ${service} is running`);
  });

  test("notes the absence of an optional service, and fails without a providers service in use", () => {
    expect(of("note", judge(without("tasks")))).toEqual(["No tasks service is running."]);
    expect(of("failure", judge(without("providers")))).toEqual([]);
    expect(of("failure", judge(without("providers"), { usesProviders: true }))).toHaveLength(1);
    expect(of("failure", judge(without("agent-host"), { usesProviders: true }))).toEqual([]);
  });

  test("fails if nothing runs, and knows nothing if a given NATS is away", () => {
    expect(of("failure", judge([]))).toEqual([NOTHING_RUNS]);
    expect(of("failure", judge([{ ...heartbeat("gateway"), status: "stopped" }]))).toEqual([NOTHING_RUNS]);
    expect(of("failure", judge(undefined, { isNatsGiven: false }))).toEqual([NOTHING_RUNS]);
    expect(judge(undefined).map(({ level }) => level)).toEqual(["skipped"]);
  });

  test("reports failed and degraded processes with their reasons, and mixed versions", () => {
    const failed: ServiceHeartbeat = { ...heartbeat("calls"), status: "failed", reason: "no disk." };
    expect(of("failure", judge([...without("calls"), failed]))).toEqual([
      "calls (calls-1) keeps failing: no disk.",
    ]);
    const degraded = { ...heartbeat("calls"), instance: "calls-2", reason: "slow", version: "1.1.0" };
    const warnings = of("warning", judge([...all, degraded]));
    expect(warnings[0]).toBe("calls (calls-2) is degraded: slow.");
    expect(warnings[1]).toContain("1.1.0 (calls-2)");
  });
});

const running: HostProfile = { status: "running", warm: 1, hot: 1, warming: 0, busy: 1, max: 5 };
const host = (profiles: HostRecord["profiles"], rest: Partial<HostRecord> = {}): HostRecord => ({
  ...{ hostId: "h1", epoch: 1, pid: 1, startedAt: "", draining: false, sessions: 1, load: 0, maxAgents: 5 },
  ...{ sequence: 1, processes: [], stats: { spawned: 0, assigned: 0, lost: 0, unhandledRejections: 0 } },
  profiles,
  ...rest,
});

describe("the check of hosts", () => {
  test("fails for a host that is silent or can't use LiveKit, and warns of a draining one", () => {
    const record = host({ a: running });
    const judge = (pong: object, rest: Partial<HostRecord> = {}) =>
      hostsCheck.judge([{ record: { ...record, ...rest }, pong }]).map(({ level }) => level);
    expect(judge({})).toEqual(["ok"]);
    expect(judge({ silence: "timeout" })).toEqual(["failure"]);
    expect(judge({ livekitError: "no route" })).toEqual(["failure"]);
    expect(judge({}, { draining: true })).toEqual(["warning"]);
    expect(hostsCheck.judge([]).map(({ level }) => level)).toEqual(["skipped"]);
  });
});

describe("the check of pools", () => {
  const target = (min: number) =>
    ({ profile: "a", min, hot: 0, max: 9, perProcess: 1, source: "file" }) as const;
  const judge = (profile: HostProfile, min: number) =>
    poolsCheck.judge({ hosts: [host({ a: profile })], targets: [target(min)] });

  test("accepts a pool that has its idle agents, and warns of a pool that lacks some", () => {
    expect(of("ok", judge(running, 2))).toEqual(["a has 2 of 2 idle agents, and 1 of 5 busy."]);
    expect(of("warning", judge({ ...running, warming: 1 }, 3))[0]).toContain("1 are warming up");
  });

  test("asks for no more idle agents than the busy ones leave room for", () => {
    expect(of("warning", judge({ ...running, busy: 3, warm: 1, hot: 1 }, 4))).toEqual([]);
    expect(of("warning", judge({ ...running, busy: 5, warm: 0, hot: 0 }, 4))[0]).toContain("All 5 agents");
  });

  test("fails for a profile that fails on every host, not for one that runs elsewhere", () => {
    const failed: HostProfile = { ...running, status: "failed", error: "it throws" };
    expect(of("failure", judge(failed, 1))).toEqual(["a fails on every host: it throws."]);
    const hosts = [host({ a: failed }), host({ a: running }, { hostId: "h2" })];
    expect(of("failure", poolsCheck.judge({ hosts, targets: [target(1)] }))).toEqual([]);
  });

  test("notes different versions, and warns of a canary that no host has", () => {
    const hosts = [
      host({ a: { ...running, version: "v1" } }),
      host({ a: { ...running, version: "v2" } }, { hostId: "h2" }),
    ];
    const judgeWith = (version: string) =>
      poolsCheck.judge({ hosts, targets: [{ ...target(1), canary: { version, share: 0.1 } }] });
    expect(of("note", judgeWith("v2"))).toEqual([
      "The hosts have different versions of a: v1 (h1) and v2 (h2).",
    ]);
    expect(of("warning", judgeWith("v2"))).toEqual([]);
    expect(of("warning", judgeWith("v3"))).toEqual(["No host has version v3, the canary of a."]);
  });
});
