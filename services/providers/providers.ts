// The providers service: launches agents and calls with other systems and follows them. Several instances share the work.
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import {
  type ExternalProvider,
  externalProviders,
  providerHostOf,
} from "../../libs/contracts/providers/provider.ts";
import { assignCommand, type Command, releaseCommand, roomEvents } from "../../libs/contracts/streams.ts";
import { type SessionView, watchSessions } from "../../libs/fleet/session-view.ts";
import { repeat } from "../../libs/runtime/clock.ts";
import type { Metrics } from "../../libs/runtime/metrics.ts";
import type { ProviderDriver } from "./drivers/driver.ts";
import { CallStarter } from "./launches/call-starter.ts";
import type { Limits } from "./launches/events-for.ts";
import { handleAssign, handleRelease } from "./launches/handle-assign.ts";
import { LaunchManager } from "./launches/launch-manager.ts";
import { watchLaunches } from "./launches/launch-takeover.ts";
import { watchLiveness } from "./launches/liveness.ts";
import { waitForRingingCalls } from "./launches/wait-for-ringing-calls.ts";

export interface ProvidersDeps extends ServiceDeps {
  readonly instance: string;
  readonly metrics?: Metrics;
  /** Every provider that a launch may name, including those that are not configured. */
  readonly providers: readonly ProviderDriver[];
  readonly limits: Limits & { readonly observeMs: number };
  /** How long a stop waits for ringing calls, in ms. */
  readonly ringingWaitMs: number;
  /** By default the service watches the sessions itself. */
  readonly sessions?: SessionView;
}

/** The instances share the commands through this queue group. */
const QUEUE = "providers";
const TAKEOVER_MS = 500;
const SWEEP_CALLS_MS = 1000;

export async function startProviders(deps: ProvidersDeps): Promise<{ stop(): Promise<void> }> {
  const { bus, clock, log, instance } = deps;
  const sessions = deps.sessions ?? (await watchSessions(bus, clock));
  const liveness = await watchLiveness(bus, clock);
  const providers = new Map(deps.providers.map((provider) => [provider.name as string, provider]));
  const manager = new LaunchManager({ bus, clock, log, sessions, instance, providers, limits: deps.limits });
  deps.metrics?.gauge(
    "greenroom_launches",
    "Launches that this instance owns: agents and calls of other systems that have not ended.",
    ["provider", "state"],
    (set) => {
      for (const { provider, state } of manager.records()) set(1, { provider, state });
    },
  );
  const calls = new CallStarter({ sessions, manager, log });
  const takeover = await watchLaunches({ bus, clock, log, instance, providers, liveness, manager });
  const stopHints = await bus.core.subscribe(roomEvents, (event) => manager.hint(event));
  const every = (ms: number, doing: string, work: () => Promise<void> | void) =>
    repeat(clock, ms, work, (error) => log.warn({ error, retrying: true }, `failed to ${doing}`));
  const stopBeginning = [
    every(TAKEOVER_MS, "take over launches", () => takeover.takeOver()),
    every(SWEEP_CALLS_MS, "look for sessions that wait for their call", () => calls.sweep()),
  ];
  const serve = <Q, A>(
    command: Command<Q, A>,
    respond: (provider: ExternalProvider, request: Q) => Promise<A>,
  ) =>
    Promise.all(
      externalProviders.map((provider) =>
        bus.core.serve(command, providerHostOf(provider), (request) => respond(provider, request), {
          queue: QUEUE,
        }),
      ),
    );
  const assigns = await serve(assignCommand, (provider, assign) =>
    handleAssign({ bus, log, manager }, provider, assign),
  );
  const releases = await serve(releaseCommand, (_, release) => handleRelease({ clock, manager }, release));
  return {
    async stop() {
      for (const stop of stopBeginning) stop();
      await Promise.all([...assigns.map((stop) => stop()), calls.stop()]);
      await waitForRingingCalls({ bus, clock, log, manager }, deps.ringingWaitMs);
      await Promise.all(releases.map((stop) => stop()));
      manager.stopLooking();
      for (const provider of deps.providers) provider.stop?.();
      await manager.drain();
      await Promise.all([takeover.stop(), stopHints(), liveness.stop()]);
      if (deps.sessions === undefined) await sessions.stop();
    },
  };
}
