// The profiles that hosts have, and the one that a start without a profile gets.
import type { HostProfile, HostRecord } from "../../../libs/contracts/fleet/host.ts";

export const liveHosts = (hosts: readonly HostRecord[]): HostRecord[] =>
  hosts.filter((host) => !host.draining);

/** One profile as each host has it. */
export const profileOn = (hosts: readonly HostRecord[], profile: string): HostProfile[] =>
  hosts.flatMap((host) => host.profiles[profile] ?? []);

export const knownProfiles = (hosts: readonly HostRecord[]): string[] =>
  [...new Set(hosts.flatMap((host) => Object.keys(host.profiles)))].sort();

/** The profile whose agent has this name in LiveKit. */
export const profileWithAlias = (hosts: readonly HostRecord[], agentName: string): string | undefined =>
  knownProfiles(hosts).find((profile) =>
    profileOn(hosts, profile).some((one) => one.agentName === agentName),
  );

/** True for a host of an earlier version. */
export const hasUnknownNames = ({ profiles }: HostRecord): boolean =>
  Object.values(profiles).some(({ isolation, status }) => status === "running" && isolation === undefined);

export const isRunningOn = (hosts: readonly HostRecord[], profile: string): boolean =>
  profileOn(hosts, profile).some(({ status }) => status === "running");

/** True if a host is still loading the profile's file. */
export const isLoadingOn = (hosts: readonly HostRecord[], profile: string): boolean =>
  profileOn(hosts, profile).some(isLoading);

/** The longest time for which a host has been loading the file; undefined if none is loading it. */
export function loadingForMs(states: readonly HostProfile[]): number | undefined {
  const times = states.flatMap((state) => (isLoading(state) ? (state.loadingForMs ?? 0) : []));
  return times.length === 0 ? undefined : Math.max(...times);
}

const isLoading = ({ status, error }: HostProfile): boolean => status === "stopped" && error === undefined;

/**
 * The profile of a start that names none. In this order: the configured profile, a running `assistant` (which needs
 * keys), a running `echo`, the first running profile, the first profile.
 */
export function defaultProfile(
  hosts: readonly HostRecord[],
  configured: string | undefined,
): string | undefined {
  if (configured !== undefined) return configured;
  const known = knownProfiles(hosts);
  const running = known.filter((profile) => isRunningOn(hosts, profile));
  return ["assistant", "echo"].find((profile) => running.includes(profile)) ?? running[0] ?? known[0];
}

/** The distinct versions of the agent code, sorted. Hosts whose version is not known yet have none. */
export const versionsOf = (states: readonly HostProfile[]): string[] =>
  [...new Set(states.flatMap(({ version }) => (version === undefined ? [] : [version])))].sort();
