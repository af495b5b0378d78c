// Keeps child processes alive, and stops them in order.
import type { ServiceHeartbeat, ServiceName } from "../../libs/contracts/fleet/pool.ts";
import { Child, type ChildDeps, type ChildName, type ChildSpec, titleOf } from "./child.ts";

export interface SupervisorOptions extends ChildDeps {
  /** Who is stopped after whom; those of one row at the same time. */
  readonly stopOrder: readonly (readonly ChildName[])[];
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #children: Child[] = [];
  readonly #said = new Map<ServiceName, Pick<ServiceHeartbeat, "status" | "reason">>();
  #isStopping = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** Starts a child. Once stopping has begun it starts nothing any more. */
  start(spec: ChildSpec): Child {
    const child = new Child(spec, this.#options);
    this.#children.push(child);
    if (!this.#isStopping) child.start();
    return child;
  }

  /** What is to be said of a service that is no child of ours, as that it is disabled. */
  say(service: ServiceName, status: ServiceHeartbeat["status"], reason: string): void {
    this.#said.set(service, { status, reason });
  }

  /**
   * What to tell the fleet: the services that don't run and why. They say by themselves that they run; for
   * the two servers, which can't, it is said here.
   */
  beats(): ServiceHeartbeat[] {
    const beat = (
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
    const beats = [...this.#said].map(([service, state]) => beat(service, state));
    for (const child of this.#children) {
      const { status } = child;
      const { name } = child.spec;
      const isServer = name === "nats" || name === "livekit";
      if (status === undefined || (status.status === "running" && !isServer)) continue;
      const services = child.spec.services ?? (name === "control" ? [] : [name]);
      beats.push(...services.map((service) => beat(service, status, child)));
    }
    return beats;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const names of this.#options.stopOrder) {
      const stopping = this.#children.filter((child) => names.includes(child.spec.name));
      await Promise.all(stopping.map((child) => child.stop()));
    }
  }

  /** Ends everything at once, without a word. */
  killAll(): void {
    this.#isStopping = true;
    for (const child of this.#children) child.kill();
  }
}
