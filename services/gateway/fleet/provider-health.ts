// The health of profiles whose agents come from another provider, as their sessions show it.
import type { ProfileHealth, ServiceHealth } from "../../../libs/contracts/fleet/http.ts";
import { isExternal, NO_WORKER } from "../../../libs/contracts/providers/provider.ts";
import type { ProviderRules } from "../../../libs/contracts/providers/provider-rules.ts";
import type { HistoryEntry, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { SessionView } from "../../../libs/fleet/session-view.ts";

/** The health by profile, for the first provider of each. Only the provider knows whether it has agents. */
export function providerProfiles(
  rules: ProviderRules,
  service: ServiceHealth,
  sessions: Pick<SessionView, "all">,
): Record<string, ProfileHealth> {
  const profiles: Record<string, ProfileHealth> = {};
  for (const rule of rules) {
    const { profile, provider } = rule;
    if (!isExternal(provider) || profiles[profile] !== undefined) continue;
    const records = sessions
      .all()
      .map(({ record }) => record)
      .filter((record) => record.profile === profile && record.provider === provider);
    const states = records.map(({ state }) => state);
    profiles[profile] = {
      provider,
      ...(service.status === "running" ? shownBy(records, rule) : NO_SERVICE),
      warm: 0,
      hot: 0,
      warming: states.filter((state) => state === "dispatched" || state === "joined").length,
      busy: states.filter((state) => state === "ready").length,
      max: 0,
    };
  }
  return profiles;
}

type ProviderStatus = Pick<ProfileHealth, "status" | "error" | "reason">;

const NO_SERVICE: ProviderStatus = {
  status: "failed",
  error: "The providers service is not running. Start it with `npm run providers`.",
};

/** The status by the newest attempt of any session that found or lacked an agent. For display only. */
function shownBy(
  records: readonly SessionRecord[],
  { name, provider }: ProviderRules[number],
): ProviderStatus {
  let newest: HistoryEntry | undefined;
  for (const { history } of records) {
    const entry = history.findLast(
      ({ state, reason }) => state === "joined" || state === "ready" || reason?.includes(NO_WORKER),
    );
    if (entry !== undefined && entry.at >= (newest?.at ?? "")) newest = entry;
  }
  if (newest === undefined) {
    return {
      status: "unknown",
      reason:
        provider === "livekit"
          ? `No worker has taken a job lately, and LiveKit does not report its workers. Start a session to see whether one with the agent name ${name} is running.`
          : "No session has got an agent from this provider lately. Start a session to see whether it has any.",
    };
  }
  if (newest.reason?.includes(NO_WORKER) !== true) return { status: "running" };
  return {
    status: "failed",
    error: `No worker took the last job. Start a LiveKit worker with the agent name ${name}, or one with less load.`,
  };
}
