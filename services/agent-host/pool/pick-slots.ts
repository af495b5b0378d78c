// Chooses the agent to give, the agents to release, and the process for the next agent. Pure.
import type { Warmth } from "../../../libs/contracts/sessions/session.ts";
import type { AgentProcess, Slot } from "./slots.ts";

/** How agents are spread over agent processes. */
export interface Spread {
  readonly perProcess: number;
  /** The least number of processes with idle agents, so that the death of one leaves a warm agent in another. */
  readonly over: number;
  /** Whether a process that has sessions may get a new agent. */
  readonly besideCalls: boolean;
}

export const isIdle = (slot: Slot): boolean => slot.assignment === undefined && slot.state !== "closing";

/**
 * The agent for a session, or undefined when no agent of that warmth is free.
 *
 * A warm agent comes from the process with the most idle ones, so that the others stay spread. For a cold start the
 * agent is one that is already warming, preferably in a process that has loaded its file.
 */
export function pickAgent(slots: readonly Slot[], requested: Warmth): Slot | undefined {
  const idle = slots.filter((slot) => isIdle(slot) && !slot.process.isUnhealthy);
  const firstOf = (state: Slot["state"]): Slot | undefined =>
    mostCrowdedFirst(idle.filter((slot) => slot.state === state)).at(0);
  if (requested === "hot") return firstOf("hot");
  if (requested === "warm") return firstOf("warm") ?? firstOf("hot");
  return idle
    .filter((slot) => slot.state === "warming")
    .sort((a, b) => Number(b.process.isLoaded) - Number(a.process.isLoaded))
    .at(0);
}

/** The surplus agents: the coldest first, since hot agents took the longest to start, and evenly from all processes. */
export function pickSurplus(slots: readonly Slot[], count: number): Slot[] {
  const left = slots.filter(isIdle);
  const surplus: Slot[] = [];
  for (const state of ["warming", "warm", "hot"] as const) {
    while (surplus.length < count) {
      const slot = mostCrowdedFirst(left.filter((each) => each.state === state)).at(0);
      if (slot === undefined) break;
      left.splice(left.indexOf(slot), 1);
      surplus.push(slot);
    }
  }
  return surplus;
}

/**
 * The process for a new idle agent, or undefined for a new process. Until the idle agents are spread over enough
 * processes, it is one without idle agents. After that it is the oldest one with a free place, since every process
 * costs memory.
 */
export function pickProcess(processes: readonly AgentProcess[], spread: Spread): AgentProcess | undefined {
  const hasIdle = (process: AgentProcess) => [...process.slots.values()].some(isIdle);
  const hasSession = (process: AgentProcess) =>
    [...process.slots.values()].some(({ assignment }) => assignment !== undefined);
  const usable = processes.filter((process) => !process.isUnhealthy);
  const open = usable
    .filter((process) => process.slots.size < spread.perProcess)
    .filter((process) => spread.besideCalls || !hasSession(process))
    .sort((a, b) => Number(b.isLoaded) - Number(a.isLoaded));
  if (usable.filter(hasIdle).length >= spread.over) return open[0];
  return open.find((process) => !hasIdle(process));
}

/** Sorts the slots of the most crowded process first, and keeps the order otherwise. */
function mostCrowdedFirst(slots: readonly Slot[]): Slot[] {
  const crowd = (slot: Slot) => slots.filter((other) => other.process === slot.process).length;
  const sizes = new Map(slots.map((slot) => [slot, crowd(slot)]));
  return [...slots].sort((a, b) => (sizes.get(b) ?? 0) - (sizes.get(a) ?? 0));
}
