// The handoffs service: turns the handoffs of other systems into sessions and publishes what becomes of them.

import type { Stop } from "../../libs/bus/bus.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import type { ProviderName } from "../../libs/contracts/providers/provider.ts";
import type { ProviderRules } from "../../libs/contracts/providers/provider-rules.ts";
import type { HostView } from "../../libs/fleet/host-view.ts";
import type { SessionView } from "../../libs/fleet/session-view.ts";
import { consumeHandoffs } from "./handle-handoff.ts";
import { publishHandoffEvents } from "./handoff-publisher.ts";

export interface HandoffsDeps extends ServiceDeps {
  readonly sessions: Pick<SessionView, "all">;
  readonly hosts: Pick<HostView, "all">;
  /** False: handoffs stay in their stream. */
  readonly takesHandoffs: boolean;
  readonly batchSize: number;
  /** The provider of all handoffs; undefined: each profile has its own. */
  readonly launcher: ProviderName | undefined;
  /** The configured provider of a profile, if any. */
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

/** The provider of an agent for an existing room. For a profile that only makes calls, it is the pool. */
export function roomProviderOf(rules: ProviderRules, profile: string): ProviderName | undefined {
  const named = rules.filter((rule) => rule.profile === profile && rule.provider !== "vapi");
  const provider = named[0]?.provider;
  return provider === "sip" ? "pool" : provider;
}

/** Without any host the agents are unknown. The handoff then waits for a host, like any session. */
function providerOf(
  { configuredFor, hosts, launcher }: HandoffsDeps,
  agentId: string,
): ProviderName | undefined {
  const configured = launcher ?? configuredFor(agentId);
  if (configured !== undefined) return configured;
  const all = hosts.all();
  return all.length === 0 || all.some(({ profiles }) => agentId in profiles) ? "pool" : undefined;
}
