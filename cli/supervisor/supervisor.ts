// Keeps child processes alive, stops them in order, and publishes their health.

import type { Bus } from "../../libs/bus/bus.ts";
import { connectNatsBus } from "../../libs/bus/nats/nats-bus.ts";
import { messageOf } from "../../libs/contracts/errors.ts";
import type { ServiceHeartbeat, ServiceName } from "../../libs/contracts/fleet/pool.ts";
import { serviceHeartbeats } from "../../libs/contracts/streams.ts";
import { HEARTBEAT_MS } from "../../libs/fleet/heartbeat.ts";
import { repeat, systemClock } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";
import { Child, type ChildDeps, type ChildName, type ChildSpec, titleOf } from "./child.ts";

const CLOSE_MS = 1000;
/** The least time for a stop of one row. */
const ROW_MS = 700;

export interface SupervisorOptions extends ChildDeps {
  /** Children by name, in the order of their stop. Those in the same row stop at the same time. */
  readonly stopOrder: readonly (readonly ChildName[])[];
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #children: Child[] = [];
  readonly #reported = new Map<ServiceName, Pick<ServiceHeartbeat, "status" | "reason">>();
  #isStopping = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** Starts a child, unless the supervisor is stopping. */
  start(spec: ChildSpec): Child {
    const child = new Child(spec, this.#options);
    this.#children.push(child);
    if (!this.#isStopping) child.start();
    return child;
  }

  /** Sets the status of a service that is not a child, for example because it is disabled. */
  report(service: ServiceName, status: ServiceHeartbeat["status"], reason: string): void {
    this.#reported.set(service, { status, reason });
  }

  /**
   * Heartbeats for services that are not running, with the reason. Running services publish their own, except for the
   * two servers, which can't.
   */
  heartbeats(): ServiceHeartbeat[] {
    const heartbeat = (
      service: ServiceName,
      state: Pick<ServiceHeartbeat, "status" | "reason">,
      child?: Child,
    ): ServiceHeartbeat => ({
      service,
      instance: child?.spec.instance === undefined ? "supervisor" : `supervisor of ${titleOf(child.spec)}`,
      pid: child?.pid ?? process.pid,
      status: state.status,
      ...(state.reason === undefined ? {} : { reason: state.reason }),
    });
    const heartbeats = [...this.#reported].map(([service, state]) => heartbeat(service, state));
    for (const child of this.#children) {
      const { status } = child;
      const { name } = child.spec;
      const isServer = name === "nats" || name === "livekit";
      if (status === undefined || (status.status === "running" && !isServer)) continue;
      const services = child.spec.services ?? (name === "control" ? [] : [name]);
      heartbeats.push(...services.map((service) => heartbeat(service, status, child)));
    }
    return heartbeats;
  }

  /** Stops all children in order, within `limitMs`. The last rows keep some of this time when the first ones hang. */
  async stop(limitMs: number): Promise<void> {
    this.#isStopping = true;
    const deadline = performance.now() + limitMs;
    const { stopOrder } = this.#options;
    for (const [index, names] of stopOrder.entries()) {
      const laterMs = ROW_MS * (stopOrder.length - index - 1);
      const stopMs = Math.max(ROW_MS, deadline - performance.now() - laterMs);
      const stopping = this.#children.filter((child) => names.includes(child.spec.name));
      await Promise.all(stopping.map((child) => child.stop(stopMs)));
    }
  }

  /** The names of the children that have been asked to stop and still run. */
  stopping(): string[] {
    return this.#children.filter((child) => child.isStopping).map(({ spec }) => titleOf(spec));
  }

  /** Kills all children immediately. */
  killAll(): void {
    this.#isStopping = true;
    for (const child of this.#children) child.kill();
  }
}

/**
 * Publishes heartbeats for children that can't do it themselves. Connects in the background: an unreachable NATS
 * delays no child.
 *
 * @returns a function that stops publishing, within a second
 */
export function publishSupervision(supervisor: Supervisor, url: string, replicas: number, log: Log) {
  let bus: Bus | undefined;
  let isStopped = false;
  connectNatsBus({
    url,
    name: "greenroom-supervisor",
    replicas,
    log,
    onLost: (error) => {
      if (!isStopped)
        log.warn({ error }, "the supervisor lost its connection to NATS and no longer publishes heartbeats");
    },
  }).then(
    (connected) => {
      bus = connected;
      if (isStopped) void connected.close().catch(() => {});
    },
    (error: unknown) => {
      if (!isStopped) log.warn(`the supervisor failed to connect to NATS: ${messageOf(error)}`);
    },
  );
  const publish = () => {
    for (const heartbeat of supervisor.heartbeats()) bus?.core.publishTransient(serviceHeartbeats, heartbeat);
  };
  const cancel = repeat(systemClock, HEARTBEAT_MS / 2, publish, (error) => {
    log.debug({ error }, "failed to publish a heartbeat");
  });
  return async (): Promise<void> => {
    isStopped = true;
    cancel();
    const late = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_MS).unref());
    await Promise.race([bus?.close().catch(() => {}), late]);
  };
}
