// Keeps one role running: starts it again alone when it fails, with growing pauses.
import { hookedBus } from "../../libs/bus/instrumented-bus.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { messageOf } from "../../libs/contracts/errors.ts";
import type { RoleName } from "../../libs/contracts/fleet/pool.ts";
import { serviceHeartbeats } from "../../libs/contracts/streams.ts";
import { HEARTBEAT_MS, startHeartbeat } from "../../libs/fleet/heartbeat.ts";
import type { RunningOnBus, Service } from "../../libs/fleet/run-on-bus.ts";
import { type BackOff, restartDelay } from "../../libs/runtime/back-off.ts";
import { repeat } from "../../libs/runtime/clock.ts";
import type { CommonConfig } from "../../libs/runtime/common-settings.ts";
import { ConfigError } from "../../libs/runtime/config.ts";
import type { Log } from "../../libs/runtime/log.ts";
import type { Metrics } from "../../libs/runtime/metrics.ts";
import type { ServiceContext } from "../../libs/runtime/run-service.ts";
import type { RoleHealth } from "../../libs/runtime/status-server.ts";
import { withResolvers } from "../../libs/runtime/with-resolvers.ts";
import { RoleScope } from "./role-scope.ts";

export interface RoleDeps extends ServiceDeps {
  readonly metrics: Metrics;
  readonly config: CommonConfig;
  readonly backOff: BackOff;
  /** Names each run differently, so that others take over what a failed run left. */
  readonly newInstance: (role: RoleName) => string;
  readonly quit: ServiceContext["quit"];
  /** How long a stop may take, in ms. */
  readonly stopMs: number;
  /** Returns a problem of the whole process, if there is one. */
  readonly degradedReason: () => string | undefined;
  /** Called instead of a restart, for a role whose failure ends the process. */
  readonly onFatal?: (error: unknown) => void;
}

/** One run of the role, from its start to its end. */
interface Run {
  readonly scope: RoleScope;
  readonly instance: string;
  readonly startedAtMs: number;
  running?: RunningOnBus;
}

/**
 * starting ─▶ running ─▶ stopped
 *     ▲  │       │
 *     │  ▼       ▼
 *     └── failed ◀
 */
export class SupervisedRole {
  readonly name: RoleName;
  readonly #service: Service;
  readonly #deps: RoleDeps;
  readonly #log: Log;
  #status: RoleHealth["status"] = "starting";
  #reason: string | undefined;
  #run: Run | undefined;
  #quickFailures = 0;
  #restarts = 0;
  #endHeartbeat = () => {};
  #cancelRestart = () => {};

  constructor(name: RoleName, service: Service, deps: RoleDeps) {
    this.name = name;
    this.#service = service;
    this.#deps = deps;
    this.#log = deps.log.child({ role: name });
  }

  health(): RoleHealth {
    const reason = this.#status === "running" ? this.#degradedReason() : this.#reason;
    return { status: this.#status, restarts: this.#restarts, ...(reason === undefined ? {} : { reason }) };
  }

  /**
   * Starts the role for the first time. From then on it is kept running.
   * @throws ConfigError; for a role whose failure ends the process, whatever it failed with
   */
  async start(): Promise<void> {
    const run = this.#newRun();
    try {
      await this.#launch(run);
    } catch (error) {
      if (error instanceof ConfigError || this.#deps.onFatal !== undefined) throw error;
      this.#onFailure(run, error);
    }
  }

  /** Lets work in progress finish, for `stopMs` at most. */
  async stop(): Promise<void> {
    const run = this.#run;
    this.#status = "stopped";
    this.#cancelRestart();
    if (run?.running !== undefined) await this.#stopInOrder(run.scope, run.running);
    run?.scope.close();
    this.#endHeartbeat();
  }

  get #isStopped(): boolean {
    return this.#status === "stopped";
  }

  #newRun(): Run {
    const run = {
      scope: new RoleScope(this.#deps, this.#log),
      instance: this.#deps.newInstance(this.name),
      startedAtMs: this.#deps.clock.monotonic(),
    };
    this.#run = run;
    return run;
  }

  /** @throws what the start threw, or what escaped from the role during its start */
  async #launch(run: Run): Promise<void> {
    const { scope, instance } = run;
    const { config, quit } = this.#deps;
    const context = {
      config,
      quit,
      instance,
      log: this.#log,
      clock: scope.clock,
      metrics: scope.metrics,
      connect: async (hooks = {}) => hookedBus(scope.bus, hooks),
    };
    this.#status = "starting";
    const failed = scope.failed.then((error) => {
      throw error;
    });
    run.running = await Promise.race([scope.run(async () => this.#service.start(context)), failed]);
    if (this.#isStopped) return;
    this.#status = "running";
    this.#endHeartbeat();
    this.#endHeartbeat = startHeartbeat(this.#deps.bus, this.#deps.clock, {
      service: this.name,
      instance,
      degradedReason: () => this.#degradedReason(),
    });
    this.#log.info({ instance }, "running");
    failed.catch((error: unknown) => this.#onFailure(run, error));
  }

  #degradedReason(): string | undefined {
    return this.#run?.running?.degradedReason?.() ?? this.#deps.degradedReason();
  }

  #onFailure({ scope, instance, startedAtMs }: Run, error: unknown): void {
    scope.close();
    if (this.#isStopped) return;
    const { backOff, clock, onFatal } = this.#deps;
    if (onFatal !== undefined) {
      onFatal(error);
      return;
    }
    const upMs = Math.round(clock.monotonic() - startedAtMs);
    this.#quickFailures = upMs < backOff.steadyMs ? this.#quickFailures + 1 : 1;
    const { delayMs } = restartDelay(backOff, this.#quickFailures);
    this.#status = "failed";
    this.#reason = messageOf(error);
    this.#log.error({ error, upMs, delayMs, retrying: true }, `${this.name} failed`);
    this.#announceFailure(instance);
    this.#cancelRestart = clock.after(delayMs, () => void this.#restart());
  }

  async #restart(): Promise<void> {
    this.#restarts += 1;
    const run = this.#newRun();
    await this.#launch(run).catch((error: unknown) => this.#onFailure(run, error));
  }

  /** The failed run is gone for the other instances of the role at once, and health shows why. */
  #announceFailure(instance: string): void {
    const { bus, clock } = this.#deps;
    this.#endHeartbeat();
    const announce = () =>
      bus.core.publishTransient(serviceHeartbeats, {
        service: this.name,
        instance,
        pid: process.pid,
        status: "failed",
        reason: this.#reason ?? "",
      });
    announce();
    this.#endHeartbeat = repeat(clock, HEARTBEAT_MS, announce, () => {});
  }

  async #stopInOrder(scope: RoleScope, running: RunningOnBus): Promise<void> {
    const { clock, stopMs } = this.#deps;
    const late = withResolvers<string>();
    const cancel = clock.after(stopMs, () => late.resolve(`stopping took longer than ${stopMs} ms`));
    const failed = scope.failed.then(messageOf);
    const stopped = scope.run(() => running.stop()).then(() => undefined, messageOf);
    const reason = await Promise.race([stopped, failed, late.promise]);
    cancel();
    if (reason !== undefined) this.#log.warn({ reason }, `${this.name} did not stop in order`);
  }
}
