// Which profile a start gets.
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { HostProfile, HostRecord } from "../../../libs/contracts/fleet/host.ts";

const NO_HOSTS_RETRY_MS = 2000;
const UNAVAILABLE_RETRY_MS = 5000;

export const liveHosts = (hosts: readonly HostRecord[]): HostRecord[] =>
  hosts.filter((host) => !host.draining);

/** One profile as each host has it. */
export const profileOn = (hosts: readonly HostRecord[], profile: string): HostProfile[] =>
  hosts.flatMap((host) => host.profiles[profile] ?? []);

export const knownProfiles = (hosts: readonly HostRecord[]): string[] =>
  [...new Set(hosts.flatMap((host) => Object.keys(host.profiles)))].sort();

const runsOn = (hosts: readonly HostRecord[], profile: string): boolean =>
  profileOn(hosts, profile).some(({ status }) => status === "running");

/** Not yet known to work: its file is still being loaded. A host that is leaving is not asked. */
const startsOn = (hosts: readonly HostRecord[], profile: string): boolean =>
  profileOn(hosts, profile).some(({ status, error }) => status === "stopped" && error === undefined);

/**
 * The profile of a start that names none: the configured one, else `assistant` where it runs (it needs keys),
 * else `echo`, else the first by name, one that runs before one that doesn't.
 */
export function defaultProfile(
  hosts: readonly HostRecord[],
  configured: string | undefined,
): string | undefined {
  if (configured !== undefined) return configured;
  const known = knownProfiles(hosts);
  const running = known.filter((profile) => runsOn(hosts, profile));
  return ["assistant", "echo"].find((profile) => running.includes(profile)) ?? running[0] ?? known[0];
}

/**
 * The profile to start. One that was named may still be loading: its session waits for it like for any agent.
 * Which one a start gets that named none is only known when they have loaded.
 *
 * @param others profiles that are known, but not served by hosts
 * @throws GreenroomError no_hosts, unknown_profile (naming the known ones), profile_unavailable (saying why)
 */
export function resolveProfile(
  allHosts: readonly HostRecord[],
  asked: string | undefined,
  configured: string | undefined,
  others: readonly string[] = [],
): string {
  const hosts = liveHosts(allHosts);
  if (hosts.length === 0) {
    throw new GreenroomError(
      "no_hosts",
      allHosts.length === 0
        ? "No agent-host is up. Start one with `npm run agent-host`."
        : "Every agent-host is draining. Start another, or try again when they are back.",
      { retryAfterMs: NO_HOSTS_RETRY_MS },
    );
  }
  const profile = asked ?? defaultProfile(hosts, configured);
  const known = knownProfiles(hosts);
  if (profile === undefined || !known.includes(profile)) {
    const all = [...new Set([...known, ...others])].sort();
    const names = all.length === 0 ? "Their agents folders are empty" : `Known: ${all.join(", ")}`;
    throw new GreenroomError("unknown_profile", `No host has an agent file "${profile ?? ""}". ${names}.`);
  }
  const mayWait = asked !== undefined && startsOn(hosts, profile);
  if (!runsOn(hosts, profile) && !mayWait) {
    throw new GreenroomError("profile_unavailable", whyUnavailable(hosts, profile), {
      retryAfterMs: UNAVAILABLE_RETRY_MS,
    });
  }
  return profile;
}

function whyUnavailable(hosts: readonly HostRecord[], profile: string): string {
  const states = profileOn(hosts, profile);
  if (startsOn(hosts, profile))
    return `The profile "${profile}" is still being started. Try again in a moment.`;
  const status = states.find(({ status }) => status === "failed")?.status ?? states[0]?.status ?? "stopped";
  const reasons = [...new Set(states.flatMap(({ error }) => error ?? []))];
  return `The profile "${profile}" is ${status} on every host${reasons.length > 0 ? `: ${reasons.join("; ")}` : "."}`;
}
