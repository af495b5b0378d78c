// The handoffs service: turns the handoffs of other systems into sessions and publishes what becomes of them.
import type { Bus, Stop } from "../../libs/bus/bus.ts";
import type { ProviderName } from "../../libs/contracts/providers/provider.ts";
import type { ProviderRules } from "../../libs/contracts/providers/provider-rules.ts";
import type { HostView } from "../../libs/fleet/host-view.ts";
import type { SessionView } from "../../libs/fleet/session-view.ts";
import type { Clock } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";
import { consumeHandoffs } from "./handle-handoff.ts";
import { publishHandoffEvents } from "./handoff-publisher.ts";

export interface HandoffsDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly sessions: Pick<SessionView, "all">;
  readonly hosts: Pick<HostView, "all">;
  /** False: handoffs are left in their stream. */
  readonly takesHandoffs: boolean;
  readonly batchSize: number;
  /** Who gives the agents of all handoffs; undefined: each profile's own provider. */
  readonly launcher: ProviderName | undefined;
  /** What the settings say of a profile, where they say anything. */
  readonly configuredFor: (profile: string) => ProviderName | undefined;
}

export async function startHandoffs(deps: HandoffsDeps): Promise<{ stop: Stop }> {
  const publisher = await publishHandoffEvents(deps);
  const stopConsuming = deps.takesHandoffs
    ? await consumeHandoffs({ ...deps, providerOf: (agentId) => providerOf(deps, agentId) })
    : undefined;
  return {
    async stop() {
      await stopConsuming?.();
      await publisher.stop();
    },
  };
}

/** Who brings an agent into a room that is there: of a profile that others only call with, the pool. */
export function roomProviderOf(rules: ProviderRules, profile: string): ProviderName | undefined {
  const named = rules.filter((rule) => rule.profile === profile && rule.provider !== "vapi");
  const provider = named[0]?.provider;
  return provider === "sip" ? "pool" : provider;
}

/** While no host is up at all nobody knows what agents there are: then a handoff waits for one, as any session does. */
function providerOf(
  { configuredFor, hosts, launcher }: HandoffsDeps,
  agentId: string,
): ProviderName | undefined {
  const configured = launcher ?? configuredFor(agentId);
  if (configured !== undefined) return configured;
  const all = hosts.all();
  return all.length === 0 || all.some(({ profiles }) => agentId in profiles) ? "pool" : undefined;
}
