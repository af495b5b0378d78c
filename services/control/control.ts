// The control process: several roles on one connection to NATS, each of which fails and restarts alone.
import { randomBytes } from "node:crypto";
import type { Bus } from "../../libs/bus/bus.ts";
import { sharedBus } from "../../libs/bus/shared-bus.ts";
import type { RoleName } from "../../libs/contracts/fleet/pool.ts";
import { type BackOff, defaultBackOff } from "../../libs/runtime/back-off.ts";
import { type Clock, repeat } from "../../libs/runtime/clock.ts";
import type { CommonConfig } from "../../libs/runtime/common-settings.ts";
import { startLagMeter } from "../../libs/runtime/event-loop-lag.ts";
import type { Running, ServiceContext } from "../../libs/runtime/run-service.ts";
import type { ProcessHealth } from "../../libs/runtime/status-server.ts";
import type { Roles } from "./roles.ts";
import { SupervisedRole } from "./supervised-role.ts";

export interface ControlDeps extends Pick<ServiceContext, "log" | "metrics" | "quit"> {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly config: CommonConfig;
  readonly roles: Roles;
  /** The roles to run. */
  readonly names: readonly RoleName[];
  /** How long a role may take to stop, in ms. */
  readonly stopMsOf: (name: RoleName) => number;
  /** Called when the dispatcher fails. */
  readonly onFatal: (error: unknown) => void;
  readonly backOff?: BackOff;
}

export interface Control extends Running {
  health(): ProcessHealth;
}

/** Its failure ends the process: without it no session starts. */
const ESSENTIAL: RoleName = "dispatcher";

const LAG_EVERY_MS = 1000;
const MAX_LAG_MS = 500;

/**
 * Starts all roles at once.
 * @throws ConfigError, or whatever the dispatcher failed with
 */
export async function startControl(deps: ControlDeps): Promise<Control> {
  const { bus, backOff = defaultBackOff, onFatal, stopMsOf, ...common } = deps;
  const lag = watchLag(deps);
  const shared = sharedBus(bus);
  const supervised = deps.names.map((name) => {
    return new SupervisedRole(name, deps.roles[name], {
      ...common,
      bus: shared,
      backOff,
      stopMs: stopMsOf(name),
      newInstance: (role) => `${role}-${randomBytes(3).toString("hex")}`,
      degradedReason: lag.reason,
      ...(name === ESSENTIAL ? { onFatal } : {}),
    });
  });
  measureRoles(deps, supervised);
  await Promise.all(supervised.map((role) => role.start()));
  return {
    health: () => ({
      isConnected: bus.isConnected(),
      roles: Object.fromEntries(supervised.map((role) => [role.name, role.health()])),
    }),
    async stop() {
      lag.stop();
      // The dispatcher last: providers wait for calls that ring, whose events it handles.
      const isLast = ({ name }: SupervisedRole) => name === ESSENTIAL;
      await Promise.all(supervised.filter((role) => !isLast(role)).map((role) => role.stop()));
      await Promise.all(supervised.filter(isLast).map((role) => role.stop()));
    },
  };
}

function measureRoles({ metrics }: ControlDeps, supervised: readonly SupervisedRole[]): void {
  metrics.gauge("greenroom_up", "1 for each service that runs in this process.", ["service"], (set) => {
    for (const { name } of supervised.filter((role) => role.health().status === "running"))
      set(1, { service: name });
  });
  metrics.gauge(
    "greenroom_role_restarts",
    "How often a role of this process was started again after a failure.",
    ["service"],
    (set) => {
      for (const role of supervised) set(role.health().restarts, { service: role.name });
    },
  );
}

/** All roles share one event loop, so its lag slows down each of them. */
function watchLag({ clock, log }: ControlDeps): { reason(): string | undefined; stop(): void } {
  const meter = startLagMeter();
  let lagMs = 0;
  const look = () => {
    const wasLate = lagMs > MAX_LAG_MS;
    lagMs = Math.round(meter.read().medianMs);
    if (lagMs > MAX_LAG_MS && !wasLate) log.warn({ lagMs }, "the event loop lags behind");
  };
  const stopLooking = repeat(clock, LAG_EVERY_MS, look, () => {});
  return {
    reason: () => (lagMs > MAX_LAG_MS ? `The event loop of its process lags by ${lagMs} ms.` : undefined),
    stop() {
      stopLooking();
      meter.stop();
    },
  };
}
