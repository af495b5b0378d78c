// The status of agent processes and slots, for the host's record.
import type {
  AgentProcessStatus,
  HostProfile,
  ProfileStatus,
  SlotStatus,
} from "../../../libs/contracts/fleet/host.ts";
import { attemptRefOf } from "../../../libs/contracts/ids.ts";
import type { AgentProcess, Slot } from "./slots.ts";

export function profileStatus(
  slots: readonly Slot[],
  status: ProfileStatus,
  error: string | undefined,
  max: number,
  warmUpMs: number | undefined,
): HostProfile {
  const count = (state: string) => slots.filter((slot) => slot.state === state).length;
  return {
    status,
    ...(error === undefined ? {} : { error }),
    warm: count("warm"),
    hot: count("hot"),
    warming: slots.filter((slot) => slot.state === "warming" && slot.assignment === undefined).length,
    busy: slots.filter((slot) => slot.assignment !== undefined).length,
    max,
    ...(warmUpMs === undefined ? {} : { warmUpMs }),
  };
}

/** The time for which the oldest process has been loading the file. */
export function loadingTime(
  processes: readonly AgentProcess[],
  nowMs: number,
): Pick<HostProfile, "loadingForMs"> {
  const since = processes.filter(({ isLoaded }) => !isLoaded).map(({ launchedAtMs }) => launchedAtMs);
  return since.length === 0 ? {} : { loadingForMs: Math.round(nowMs - Math.min(...since)) };
}

export const processStatus = (process: AgentProcess, nowMs: number): AgentProcessStatus => ({
  id: process.id,
  profile: process.profile,
  ...(process.link.pid === undefined ? {} : { pid: process.link.pid }),
  ...(process.memoryMb === undefined ? {} : { memoryMb: process.memoryMb }),
  slots: [...process.slots.values()].map((slot) => slotStatus(slot, nowMs)),
});

function slotStatus(slot: Slot, nowMs: number): SlotStatus {
  const { assignment } = slot;
  if (assignment === undefined) return { id: slot.id, state: slot.state };
  return {
    id: slot.id,
    state: slot.state,
    ...attemptRefOf(assignment),
    ...(assignment.readyAtMs === undefined ? {} : { readyForMs: Math.round(nowMs - assignment.readyAtMs) }),
    idleForMs: Math.round(nowMs - assignment.lastActiveAtMs),
    userJoined: assignment.userJoined,
  };
}
