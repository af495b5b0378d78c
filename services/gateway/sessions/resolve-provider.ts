// Whom a start gets its agent from: which profile, and which provider for it.
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { HostRecord } from "../../../libs/contracts/fleet/host.ts";
import { isExternal, type ProviderName } from "../../../libs/contracts/providers/provider.ts";
import { type ProviderRules, providerOf } from "../../../libs/contracts/providers/provider-rules.ts";
import type { GatewayConfig } from "../config.ts";
import type { AgentRequest } from "./capacity.ts";
import { liveHosts, resolveProfile } from "./resolve-profile.ts";

type Settings = Pick<GatewayConfig, "GREENROOM_PROVIDERS" | "GREENROOM_DEFAULT_PROFILE">;

interface Asked {
  readonly profile: string | undefined;
  readonly provider: ProviderName | undefined;
}

/**
 * A profile of an external provider needs no host; whether the provider has it only the provider knows. The pool is
 * not named in what is chosen: a session without a provider is the pool's.
 *
 * @throws GreenroomError invalid_request, and what chooseProfile throws for a profile of the hosts
 */
export function resolveProvider(
  hosts: readonly HostRecord[],
  settings: Settings,
  asked: Asked,
): AgentRequest {
  const { GREENROOM_PROVIDERS: rules, GREENROOM_DEFAULT_PROFILE: configured } = settings;
  const named = asked.profile ?? defaultOf(hosts, rules, asked.provider, configured);
  const provider = named === undefined ? asked.provider : providerOf(rules, named, asked.provider);
  if (isExternal(provider)) {
    if (named !== undefined) return { profile: named, provider };
    throw new GreenroomError(
      "invalid_request",
      `body.profile: name one, since GREENROOM_PROVIDERS has none for ${provider}.`,
    );
  }
  const others = rules.filter((rule) => isExternal(rule.provider)).map((rule) => rule.profile);
  const profile = resolveProfile(hosts, asked.profile, configured, others);
  return provider === undefined || provider === "pool" ? { profile } : { profile, provider };
}

/** The profile of a start that names none, as far as that is settled by the rules: a provider's, or none of them. */
function defaultOf(
  hosts: readonly HostRecord[],
  rules: ProviderRules,
  provider: ProviderName | undefined,
  configured: string | undefined,
): string | undefined {
  if (provider !== undefined)
    return isExternal(provider) ? rules.find((rule) => rule.provider === provider)?.profile : undefined;
  if (configured !== undefined) return configured;
  const external = rules.find((rule) => isExternal(rule.provider));
  return liveHosts(hosts).length === 0 ? external?.profile : undefined;
}
