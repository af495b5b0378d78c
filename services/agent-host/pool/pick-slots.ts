// Which agent is given out, which are let go, and in which stage the next one is started: pure choices.
import type { Warmth } from "../../../libs/contracts/sessions/session.ts";
import type { AgentProcess, Slot } from "./slots.ts";

/** How agents are spread over stages. */
export interface Spread {
  readonly perProcess: number;
  /** Stages that idle agents live in at least, so that the death of one leaves a warm agent in another. */
  readonly over: number;
}

export const isIdle = (slot: Slot): boolean => slot.assignment === undefined && slot.state !== "closing";

/**
 * The agent for a session, or undefined when there is none of that kind.
 *
 * It comes from the stage with the most idle ones, so that those that are left stay spread. For a cold start it
 * is one that is being warmed already, and is the furthest with that.
 */
export function pickAgent(slots: readonly Slot[], asked: Warmth): Slot | undefined {
  const idle = slots.filter((slot) => isIdle(slot) && !slot.process.isUnhealthy);
  const firstOf = (state: Slot["state"]): Slot | undefined =>
    mostCrowdedFirst(idle.filter((slot) => slot.state === state)).at(0);
  if (asked === "hot") return firstOf("hot");
  if (asked === "warm") return firstOf("warm") ?? firstOf("hot");
  return idle
    .filter((slot) => slot.state === "warming")
    .sort((a, b) => Number(b.process.isLoaded) - Number(a.process.isLoaded))
    .at(0);
}

/** What is too much goes coldest first, since what is hot took the longest to make, and evenly from the stages. */
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
 * The stage for a new idle agent, or undefined when it takes a new stage: one without idle agents until they are
 * spread as they should be, else the fullest in order of age, since every stage costs memory.
 */
export function pickProcess(stages: readonly AgentProcess[], spread: Spread): AgentProcess | undefined {
  const hasIdle = (stage: AgentProcess) => [...stage.slots.values()].some(isIdle);
  const usable = stages.filter((stage) => !stage.isUnhealthy);
  const open = usable
    .filter((stage) => stage.slots.size < spread.perProcess)
    .sort((a, b) => Number(b.isLoaded) - Number(a.isLoaded));
  if (usable.filter(hasIdle).length >= spread.over) return open[0];
  return open.find((stage) => !hasIdle(stage));
}

/** Those whose stage has the most of them come first; otherwise their order stays. */
function mostCrowdedFirst(slots: readonly Slot[]): Slot[] {
  const crowd = (slot: Slot) => slots.filter((other) => other.process === slot.process).length;
  const sizes = new Map(slots.map((slot) => [slot, crowd(slot)]));
  return [...slots].sort((a, b) => (sizes.get(b) ?? 0) - (sizes.get(a) ?? 0));
}
