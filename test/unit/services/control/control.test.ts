// A control process on an in-memory bus, with roles that fail on demand.
import { describe, expect, test } from "vitest";
import type { Bus } from "../../../../libs/bus/bus.ts";
import { sessions } from "../../../../libs/contracts/buckets.ts";
import type { RoleName, ServiceHeartbeat } from "../../../../libs/contracts/fleet/pool.ts";
import { serviceHeartbeats, sessionEvents } from "../../../../libs/contracts/streams.ts";
import type { RunningOnBus, Service } from "../../../../libs/fleet/run-on-bus.ts";
import { commonSettings } from "../../../../libs/runtime/common-settings.ts";
import { ConfigError, readConfig } from "../../../../libs/runtime/config.ts";
import { silentLog } from "../../../../libs/runtime/log.ts";
import { createMetrics } from "../../../../libs/runtime/metrics.ts";
import { readControlConfig } from "../../../../services/control/config.ts";
import { type Control, startControl } from "../../../../services/control/control.ts";
import { currentScope } from "../../../../services/control/role-scope.ts";
import { allRoles, type Roles } from "../../../../services/control/roles.ts";
import { anEvent, aSession } from "../../../kit/fixtures/sessions.ts";
import { MINUTE_MS, world } from "../../../kit/worlds/memory-world.ts";

type Start = Service["start"];
const nothing: RunningOnBus = { stop: async () => {} };

const backOff = { firstMs: 1000, mostMs: 4000, steadyMs: MINUTE_MS, patience: 5, slowMs: 10_000 };

/** A control process with the given roles; `stopped` lists the roles in the order in which they stopped. */
function start(starts: Partial<Record<RoleName, Start>>) {
  const { clock, connect, outcome, server } = world();
  const stopped: string[] = [];
  const fatal: unknown[] = [];
  const names = Object.keys(starts) as RoleName[];
  const roles = { ...allRoles } as Record<RoleName, Service>;
  for (const name of names) {
    const begin = starts[name] as Start;
    roles[name] = {
      ...allRoles[name],
      async start(context) {
        const running = await begin(context);
        return {
          ...running,
          async stop() {
            await running.stop();
            stopped.push(name);
          },
        };
      },
    };
  }
  const heartbeats: ServiceHeartbeat[] = [];
  const observer = connect("observer");
  void observer.core.subscribe(serviceHeartbeats, (heartbeat) => void heartbeats.push(heartbeat));
  const metrics = createMetrics("control");
  const starting = startControl({
    bus: connect("control"),
    clock,
    log: silentLog,
    metrics,
    quit: () => {},
    config: readConfig(commonSettings, {}, []),
    roles: roles as Roles,
    names,
    stopMsOf: () => 10_000,
    onFatal: (error) => fatal.push(error),
    backOff,
  });
  const lastHeartbeat = (service: string) =>
    heartbeats.findLast((heartbeat) => heartbeat.service === service);
  return { clock, outcome, server, observer, starting, stopped, fatal, heartbeats, lastHeartbeat, metrics };
}

/** Fails the first starts. */
const failingStart = (times: number): Start => {
  let starts = 0;
  return async ({ connect }) => {
    starts += 1;
    if (starts <= times) throw new Error(`failed start ${starts}`);
    await connect();
    return nothing;
  };
};

const statusOf = (control: Control, role: string) => control.health().roles[role]?.status;

describe("a control process", () => {
  test("restarts a role that fails to start, with growing pauses, while the others run", async () => {
    const { clock, outcome, starting, lastHeartbeat, metrics } = start({
      dispatcher: async () => nothing,
      webhooks: failingStart(2),
    });
    const control = await outcome(starting);
    expect(control.health()).toEqual({
      isConnected: true,
      roles: {
        dispatcher: { status: "running", restarts: 0 },
        webhooks: { status: "failed", restarts: 0, reason: "failed start 1" },
      },
    });
    expect(await metrics.text()).toContain('greenroom_up{service="dispatcher"} 1');
    expect(await metrics.text()).not.toContain('greenroom_up{service="webhooks"}');
    await clock.advance(500);
    expect(lastHeartbeat("webhooks")).toMatchObject({ status: "failed", reason: "failed start 1" });
    await clock.advance(600);
    expect(control.health().roles.webhooks).toMatchObject({ status: "failed", restarts: 1 });
    await clock.advance(1800);
    expect(statusOf(control, "webhooks")).toBe("failed");
    await clock.advance(200);
    expect(control.health().roles.webhooks).toEqual({ status: "running", restarts: 2 });
    await clock.advance(100);
    expect(lastHeartbeat("webhooks")).toMatchObject({ status: "running" });
    expect(await metrics.text()).toContain('greenroom_role_restarts{service="webhooks"} 2');
  });

  test("gives each run of a role an instance of its own, and publishes that the failed one is gone", async () => {
    const { clock, outcome, starting, heartbeats } = start({ webhooks: failingStart(1) });
    await outcome(starting);
    await clock.advance(5000);
    const instances = heartbeats.map(({ instance, status }) => `${status} ${instance}`);
    const failed = instances.find((entry) => entry.startsWith("failed"));
    const running = instances.findLast((entry) => entry.startsWith("running"));
    expect(failed?.split(" ")[1]).toMatch(/^webhooks-/);
    expect(running?.split(" ")[1]).not.toBe(failed?.split(" ")[1]);
  });

  test.each<[string, Start]>([
    [
      "a timer",
      async ({ clock }) => {
        clock.after(5000, () => {
          throw new Error("broken");
        });
        return nothing;
      },
    ],
    [
      "a watch",
      async ({ connect, clock }) => {
        const bus = await connect();
        let isLate = false;
        clock.after(4000, () => {
          isLate = true;
        });
        await bus.kv.watch(sessions, () => {
          if (isLate) throw new Error("broken");
        });
        return nothing;
      },
    ],
  ])("restarts a role alone when an error escapes from %s", async (_where, begin) => {
    const { clock, outcome, starting, observer, fatal } = start({
      dispatcher: async () => nothing,
      webhooks: begin,
    });
    const control = await outcome(starting);
    await clock.advance(4900);
    expect(statusOf(control, "webhooks")).toBe("running");
    await outcome(observer.kv.update(sessions, aSession("s"), 0));
    await clock.advance(200);
    expect(control.health().roles.webhooks).toMatchObject({ status: "failed", reason: "broken" });
    expect(statusOf(control, "dispatcher")).toBe("running");
    await clock.advance(1000);
    expect(control.health().roles.webhooks).toMatchObject({ status: "running", restarts: 1 });
    expect(fatal).toEqual([]);
  });

  test("attributes work to its role, in handlers and after them", async () => {
    const scopes = new Map<string, unknown[]>();
    const recording =
      (name: string): Start =>
      async ({ connect, clock }) => {
        const seen: unknown[] = [currentScope()];
        scopes.set(name, seen);
        const bus = await connect();
        const note = () => seen.push(currentScope());
        await bus.kv.watch(sessions, () => queueMicrotask(note));
        await bus.core.subscribe(serviceHeartbeats, note);
        clock.after(10, note);
        await bus.streams.consume(
          sessionEvents,
          { durable: name, description: "a test", concurrency: 1 },
          async () => {
            note();
            return "ack";
          },
        );
        return nothing;
      };
    const { clock, outcome, starting, observer } = start({
      webhooks: recording("webhooks"),
      calls: recording("calls"),
    });
    await outcome(starting);
    await outcome(observer.kv.update(sessions, aSession("s"), 0));
    await outcome(observer.streams.publish(sessionEvents, anEvent("s")));
    await clock.advance(5000);
    const [webhooks, calls] = ["webhooks", "calls"].map((name) => scopes.get(name) ?? []);
    for (const seen of [webhooks!, calls!]) {
      expect(seen.length).toBeGreaterThan(4);
      expect(new Set(seen).size).toBe(1);
    }
    expect(webhooks![0]).not.toBe(calls![0]);
    expect(currentScope()).toBeUndefined();
  });

  test("cuts a failed role off, so that nothing it still publishes is stored", async () => {
    const { clock, outcome, starting, server } = start({
      webhooks: async ({ connect, clock: own }) => {
        const bus = await connect();
        const again = () => {
          void bus.streams.publish(sessionEvents, anEvent("of-a-failed-run")).catch(() => {});
          own.after(100, again);
        };
        own.after(1000, () => {
          own.after(1, again);
          void Promise.resolve().then(again);
          throw new Error("broken");
        });
        return { stop: async () => {} };
      },
    });
    await outcome(starting);
    await clock.advance(1900);
    expect(server.stored(sessionEvents)).toEqual([]);
  });

  test("reports a failed dispatcher instead of restarting it", async () => {
    const { clock, outcome, starting, fatal } = start({
      dispatcher: async ({ clock: own }) => {
        own.after(1000, () => {
          throw new Error("broken");
        });
        return nothing;
      },
      calls: async () => nothing,
    });
    await outcome(starting);
    await clock.advance(MINUTE_MS);
    expect(fatal).toEqual([new Error("broken")]);
  });

  test.each<[string, RoleName, Error]>([
    ["the dispatcher can't start", "dispatcher", new Error("no store")],
    ["a role can't use its settings", "privacy", new ConfigError(["RETENTION_DAYS: no"])],
  ])("does not start when %s", async (_when, role, error) => {
    const { outcome, starting } = start({
      calls: async () => nothing,
      [role]: async () => {
        throw error;
      },
    });
    await expect(outcome(starting)).rejects.toBe(error);
  });

  test("stops its roles in parallel, the dispatcher last, and then their heartbeats", async () => {
    const slow =
      (ms: number): Start =>
      async ({ clock }) => ({ stop: () => new Promise((resolve) => void clock.after(ms, resolve)) });
    const { clock, outcome, starting, stopped, lastHeartbeat } = start({
      dispatcher: slow(0),
      providers: slow(3000),
      calls: slow(3000),
    });
    const control = await outcome(starting);
    const before = clock.monotonic();
    await outcome(control.stop());
    expect(clock.monotonic() - before).toBeLessThan(3100);
    expect(stopped).toEqual(["providers", "calls", "dispatcher"]);
    await clock.advance(100);
    for (const role of ["dispatcher", "providers", "calls"])
      expect(lastHeartbeat(role)?.status).toBe("stopped");
    expect(statusOf(control, "calls")).toBe("stopped");
  });

  test("abandons a role that does not stop in time, and restarts none while stopping", async () => {
    const { clock, outcome, starting } = start({
      calls: async () => ({ stop: () => new Promise(() => {}) }),
      webhooks: failingStart(9),
    });
    const control = await outcome(starting);
    const before = clock.monotonic();
    await outcome(control.stop());
    expect(clock.monotonic() - before).toBe(10_000);
    await clock.advance(MINUTE_MS);
    expect([statusOf(control, "calls"), statusOf(control, "webhooks")]).toEqual(["stopped", "stopped"]);
  });

  test("shows the degraded reason of a running role", async () => {
    const { outcome, starting, lastHeartbeat, clock } = start({
      privacy: async () => ({ ...nothing, degradedReason: () => "no receipts" }),
    });
    const control = await outcome(starting);
    expect(control.health().roles.privacy).toMatchObject({ status: "running", reason: "no receipts" });
    await clock.advance(100);
    expect(lastHeartbeat("privacy")).toMatchObject({ status: "running", reason: "no receipts" });
  });
});

test("runs all real roles on one bus, and stops them", async () => {
  const { clock, connect, outcome } = world();
  const bus: Bus = connect("control");
  const env = { LIVEKIT_MOCK_MODE: "true" };
  const config = readControlConfig(allRoles, env);
  const control = await outcome(
    startControl({
      bus,
      clock,
      log: silentLog,
      metrics: createMetrics("control"),
      quit: () => {},
      config,
      roles: allRoles,
      names: config.GREENROOM_ROLES,
      stopMsOf: (name) => allRoles[name].stopMs(env),
      onFatal: (error) => {
        throw error;
      },
    }),
  );
  await clock.advance(MINUTE_MS);
  const { roles } = control.health();
  expect(Object.keys(roles)).toHaveLength(8);
  for (const [name, role] of Object.entries(roles))
    expect(role, name).toEqual({ status: "running", restarts: 0 });
  await outcome(control.stop());
});
