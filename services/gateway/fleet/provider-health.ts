// The health of profiles that other providers serve, as far as Greenroom can see it.
import type { ProfileHealth, ServiceHealth } from "../../../libs/contracts/fleet/http.ts";
import { isExternal } from "../../../libs/contracts/providers/provider.ts";
import type { ProviderRules } from "../../../libs/contracts/providers/provider-rules.ts";
import type { SessionView } from "../../../libs/fleet/session-view.ts";

/**
 * The health by profile, for the first provider of each. Only the provider knows whether it has agents, so a profile
 * counts as running while the providers service is running.
 */
export function providerProfiles(
  rules: ProviderRules,
  service: ServiceHealth,
  sessions: Pick<SessionView, "all">,
): Record<string, ProfileHealth> {
  const profiles: Record<string, ProfileHealth> = {};
  for (const { profile, provider } of rules) {
    if (!isExternal(provider) || profiles[profile] !== undefined) continue;
    const states = sessions
      .all()
      .filter(({ record }) => record.profile === profile && record.provider === provider)
      .map(({ record }) => record.state);
    const isUp = service.status === "running";
    profiles[profile] = {
      provider,
      status: isUp ? "running" : "failed",
      ...(isUp
        ? {}
        : {
            error: "The providers service is not running. Start it with `npm run providers`.",
          }),
      warm: 0,
      hot: 0,
      warming: states.filter((state) => state === "dispatched" || state === "joined").length,
      busy: states.filter((state) => state === "ready").length,
      max: 0,
    };
  }
  return profiles;
}
