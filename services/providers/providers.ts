// The providers service: launches agents and calls with other systems and follows them. Several instances share the work.
import type { Bus } from "../../libs/bus/bus.ts";
import { launches as launchesBucket } from "../../libs/contracts/buckets.ts";
import { externalProviders, providerHostOf } from "../../libs/contracts/providers/provider.ts";
import { assignCommand, releaseCommand, roomEvents } from "../../libs/contracts/streams.ts";
import { type SessionView, watchSessions } from "../../libs/fleet/session-view.ts";
import { type Clock, repeat } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";
import type { Metrics } from "../../libs/runtime/metrics.ts";
import type { ProviderDriver } from "./drivers/driver.ts";
import { CallStarter } from "./launches/call-starter.ts";
import type { Limits } from "./launches/events-for.ts";
import { handleAssign, handleRelease } from "./launches/handle-assign.ts";
import { LaunchManager } from "./launches/launch-manager.ts";
import { LaunchTakeover } from "./launches/launch-takeover.ts";
import { watchLiveness } from "./launches/liveness.ts";
import { waitForRingingCalls } from "./launches/wait-for-ringing-calls.ts";

export interface ProvidersDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly instance: string;
  readonly metrics?: Metrics;
  /** Every provider that a launch may name, also those that aren't set up. */
  readonly providers: readonly ProviderDriver[];
  readonly limits: Limits & { readonly observeMs: number };
  /** How long it waits at its stop for telephones that ring, in ms. */
  readonly ringingWaitMs: number;
  /** Its caller's, to share; its own when there is none. */
  readonly sessions?: SessionView;
}

/** All who serve with it share the questions. */
const QUEUE = "providers";
const TICK_MS = 50;
const PURSUE_MS = 500;
const SWEEP_CALLS_MS = 1000;

export async function startProviders(deps: ProvidersDeps): Promise<{ stop(): Promise<void> }> {
  const { bus, clock, log, instance } = deps;
  const sessions = deps.sessions ?? (await watchSessions(bus, clock));
  const living = await watchLiveness(bus, clock);
  const providers = new Map(deps.providers.map((provider) => [provider.name as string, provider]));
  const keeper = new LaunchManager({ bus, clock, log, sessions, instance, providers, limits: deps.limits });
  deps.metrics?.gauge(
    "greenroom_launches",
    "Launches that this instance follows: agents and calls with other systems that are not over.",
    ["provider", "state"],
    (set) => {
      for (const { provider, state } of keeper.records()) set(1, { provider, state });
    },
  );
  const calls = new CallStarter({ sessions, keeper, log });
  const pursuit = new LaunchTakeover({ clock, log, instance, providers, living, keeper });
  const stopWatching = await bus.kv.watch(launchesBucket, (change) => pursuit.see(change));
  const stopHints = await bus.core.subscribe(roomEvents, ({ event, room, identity, reason }) =>
    keeper.hint(room, identity, leftInOrder(event, reason)),
  );
  const again = (ms: number, doing: string, work: () => Promise<void> | void) =>
    repeat(clock, ms, work, (error) => log.warn({ error }, `${doing} failed; it is tried again`));
  const stopTicking = again(TICK_MS, "looking at launches", () => keeper.tick());
  const stopTaking = [
    again(PURSUE_MS, "taking up what others left", () => pursuit.takeUp()),
    again(SWEEP_CALLS_MS, "looking for sessions that wait for their call", () => calls.sweep()),
  ];
  const assigns = await Promise.all(
    externalProviders.map((provider) =>
      bus.core.serve(
        assignCommand,
        providerHostOf(provider),
        (assign) => handleAssign({ bus, log, keeper }, provider, assign),
        { queue: QUEUE },
      ),
    ),
  );
  const releases = await Promise.all(
    externalProviders.map((provider) =>
      bus.core.serve(
        releaseCommand,
        providerHostOf(provider),
        (release) => handleRelease({ clock, keeper }, release),
        { queue: QUEUE },
      ),
    ),
  );
  return {
    async stop() {
      for (const stop of stopTaking) stop();
      await Promise.all([...assigns.map((stop) => stop()), calls.stop()]);
      await waitForRingingCalls({ bus, clock, log, keeper }, deps.ringingWaitMs);
      await Promise.all(releases.map((stop) => stop()));
      stopTicking();
      for (const provider of deps.providers) provider.stop?.();
      await keeper.settle();
      await Promise.all([stopWatching(), stopHints(), living.stop()]);
      if (deps.sessions === undefined) await sessions.stop();
    },
  };
}

/** What LiveKit's webhook says of how somebody left, where that tells an end in order from a loss. */
export function leftInOrder(event: string, reason: string | undefined): string | undefined {
  if (event === "room_finished") return "its room was closed";
  if (event === "participant_left" && reason === "CLIENT_INITIATED")
    return "the agent left the room by itself";
  return undefined;
}
