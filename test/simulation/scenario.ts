// What one seed's world is like: how many processes, which faults, how badly agents behave.

import type { PoolSettings } from "../../libs/contracts/fleet/pool.ts";
import type { Deadlines } from "../../libs/contracts/sessions/session.ts";
import { forkRandom, integerBetween, pickOne, type Random } from "../kit/random.ts";
import type { Faults } from "./nats/faults.ts";

/** Probabilities of what an agent may do wrong, each for one load, start or session. */
export interface Misbehaviour {
  readonly loadFails: number;
  readonly warmFails: number;
  readonly standbyFails: number;
  readonly throws: number;
  readonly neverReady: number;
  readonly endsItself: number;
  readonly dies: number;
  readonly hangs: number;
  readonly leavesStrayError: number;
  /** Never gets into its room, and never says so. */
  readonly staysOut: number;
}

export type ChaosKind =
  | "crash"
  | "pause"
  | "cut"
  | "deploy"
  | "livekit_away"
  | "livekit_restart"
  | "agent_process_dies"
  | "agent_process_hangs"
  | "forge"
  | "store_full"
  | "resize"
  | "election"
  | "cut_calls"
  | "cut_janitor"
  | "cut_livekit"
  | "freeze";

/** What other systems are like that give sessions their agents: workers of LiveKit's agent framework. */
interface Outside {
  readonly providers: number;
  /** Of the clients' wishes, those for an agent from outside. */
  readonly wanted: number;
  /** Of dispatches: nobody takes it, somebody does late, somebody refuses it for everybody. */
  readonly untaken: number;
  readonly late: number;
  readonly refuses: number;
  /** Whether LiveKit tells of the ends of jobs, and whether its webhooks arrive. */
  readonly tellsEnds: boolean;
  readonly hasWebhooks: boolean;
  readonly dispatchTimeoutMs: number;
  readonly observeMs: number;
}

/** Outbound tasks, the telephones that they call, and records of every call. */
interface Calling {
  readonly tasks: number;
  readonly calls: number;
  readonly callers: number;
  /** Of the tasks, those whose call VAPI makes; the others are for agents of the pool. */
  readonly byPhone: number;
  /** Of one call to VAPI's API. */
  readonly vapiFails: number;
  readonly perTenant: number;
}

export interface Scenario {
  readonly seed: number;
  /** How many servers NATS is: they answer in different ways when a compare-and-set fails. */
  readonly replicas: 1 | 3;
  readonly dispatchers: number;
  readonly hosts: number;
  readonly janitors: number;
  readonly gateways: number;
  readonly clients: number;
  readonly profiles: readonly string[];
  readonly chaosMs: number;
  readonly faults: Partial<Faults>;
  /** Empty for a world in which nothing is broken on purpose. */
  readonly chaos: readonly ChaosKind[];
  readonly chaosEveryMs: number;
  readonly misbehaviour: Misbehaviour;
  /** Of one call to LiveKit's API. */
  readonly livekitFails: number;
  readonly pool: PoolSettings;
  readonly maxAgents: number;
  readonly deadlineMs: Deadlines;
  readonly maxAttempts: number;
  /** A restarted host has its old name and a new epoch; otherwise a new name. */
  readonly hostsKeepTheirNames: boolean;
  /** Undefined in worlds without the providers service, where every agent is of the pool. */
  readonly outside: Outside | undefined;
  /** Undefined in worlds without tasks. */
  readonly calling: Calling | undefined;
}

const CHAOS: readonly ChaosKind[] = [
  "crash",
  "crash",
  "crash",
  "pause",
  "pause",
  "cut",
  "deploy",
  "livekit_away",
  "livekit_restart",
  "agent_process_dies",
  "agent_process_hangs",
  "forge",
  "forge",
  "store_full",
  "resize",
];
const MORE_CHAOS: readonly ChaosKind[] = [
  "election",
  "cut_calls",
  "cut_calls",
  "cut_janitor",
  "cut_livekit",
  "freeze",
  "freeze",
];

/** Everything that may be done to a world. */
export const allChaos: readonly ChaosKind[] = [...CHAOS, ...MORE_CHAOS];

export const behaved: Misbehaviour = {
  loadFails: 0,
  warmFails: 0,
  standbyFails: 0,
  throws: 0,
  neverReady: 0,
  endsItself: 0,
  dies: 0,
  hangs: 0,
  leavesStrayError: 0,
  staysOut: 0,
};

/** Between a client and the server in a world where nothing is wrong, in ms. */
export const HEALTHY_HOP: readonly [number, number] = [0.2, 1.5];
/** Between replicas of the store, in ms. */
export const HEALTHY_IN_FLIGHT: readonly [number, number] = [0.2, 2];

/** Below it all worlds are large. */
export const FIRST_SMALL_SEED = 10_000;
/** From here on worlds have the providers service; all seeds before are what they were without it. */
export const FIRST_CONNECTED_SEED = 40_000;
/** The label of their random numbers. It never changes: another one would make other worlds of all these seeds. */
const OUTSIDE_PART = "connectors";
/** From here on they have the services tasks and calls too. */
export const FIRST_CALLING_SEED = 60_000;

export function scenarioOf(seed: number): Scenario {
  const random = forkRandom(seed, "scenario");
  // What was added later has a generator of its own, or every older seed would be another world.
  const more = forkRandom(seed, "scenario, continued");
  const between = (from: number, to: number) => integerBetween(random, from, to);
  const drawn = pickOne(random, [0, 0.3, 1, 1, 1.5]);
  const small = smallSize(seed);
  const severity = small === undefined ? drawn : drawn || 1;
  const min = between(0, 3);
  return {
    seed,
    replicas: pickOne(more, [1, 3, 3]),
    dispatchers: between(1, 3),
    hosts: between(1, 3),
    janitors: between(1, 2),
    gateways: between(1, 2),
    clients: between(2, 9),
    profiles: random() < 0.3 ? ["echo", "talk"] : ["echo"],
    chaosMs: between(8, 40) * 1000,
    faults: { ...faultsOf(random, severity), ...moreFaultsOf(more, severity) },
    chaos: severity === 0 ? [] : [...someOf(random, CHAOS), ...someOf(more, MORE_CHAOS)],
    chaosEveryMs: between(1000, 6000),
    misbehaviour: {
      ...misbehaviourOf(random, severity),
      staysOut: more() < 0.5 ? more() * 0.1 * severity : 0,
    },
    livekitFails: severity * pickOne(random, [0, 0.02, 0.1]),
    pool: { min, hot: between(0, min), max: between(1, 8), perProcess: between(1, 4) },
    maxAgents: between(1, 6),
    deadlineMs: {
      requested: pickOne(random, [6000, 15_000]),
      dispatched: pickOne(random, [3000, 5000]),
      coldExtra: 4000,
      joined: pickOne(random, [3000, 5000]),
      maxDuration: pickOne(random, [3_600_000, 3_600_000, 20_000]),
      idle: pickOne(random, [1_800_000, 1_800_000, 15_000]),
      userAbsent: pickOne(random, [300_000, 300_000, 10_000]),
    },
    maxAttempts: pickOne(random, [3, 3, 1, 5]),
    hostsKeepTheirNames: random() < 0.5,
    outside: seed < FIRST_CONNECTED_SEED ? undefined : outsideOf(forkRandom(seed, OUTSIDE_PART), severity),
    calling: seed < FIRST_CALLING_SEED ? undefined : callingOf(forkRandom(seed, "calling"), severity),
    ...small,
  };
}

/**
 * Of the later seeds most are small: few people for a short time, and faults in quick succession. They find
 * most bugs, and several of them fit into the time of a large one.
 */
function smallSize(seed: number): Pick<Scenario, "clients" | "chaosMs" | "chaosEveryMs"> | undefined {
  const random = forkRandom(seed, "size");
  if (seed < FIRST_SMALL_SEED || random() < 0.15) return undefined;
  return {
    clients: integerBetween(random, 1, 4),
    chaosMs: integerBetween(random, 3000, 9000),
    chaosEveryMs: integerBetween(random, 400, 2000),
  };
}

function faultsOf(random: Random, severity: number): Partial<Faults> {
  const some = (most: number) => (random() < 0.6 ? random() * most * severity : 0);
  return {
    hopMs: pickOne(random, [HEALTHY_HOP, HEALTHY_HOP, [0, 0], [1, 25]] as const),
    slow: some(0.1),
    slowMs: pickOne(random, [100, 800, 3000, 6000]),
    drop: some(0.05),
    repeat: some(0.1),
    loseAck: some(0.08),
    ambiguous: some(0.05),
    refuse: some(0.05),
    stale: some(0.3),
    staleMs: pickOne(random, [200, 2000]),
    skip: some(0.8),
  };
}

function moreFaultsOf(random: Random, severity: number): Partial<Faults> {
  return {
    resend: random() < 0.5 ? random() * 0.05 * severity : 0,
    inFlightMs: pickOne(random, [HEALTHY_IN_FLIGHT, [1, 30], [5, 300]] as const),
  };
}

function misbehaviourOf(random: Random, severity: number): Omit<Misbehaviour, "staysOut"> {
  const some = (most: number) => (random() < 0.5 ? random() * most * severity : 0);
  return {
    loadFails: some(0.2),
    warmFails: some(0.2),
    standbyFails: some(0.2),
    throws: some(0.3),
    neverReady: some(0.2),
    endsItself: some(0.3),
    dies: some(0.1),
    hangs: some(0.1),
    leavesStrayError: some(0.1),
  };
}

function outsideOf(random: Random, severity: number): Outside {
  const some = (most: number) => (random() < 0.6 ? random() * most * severity : 0);
  return {
    providers: integerBetween(random, 1, 2),
    wanted: pickOne(random, [0.5, 0.8, 1]),
    untaken: some(0.5),
    late: some(0.4),
    refuses: some(0.1),
    tellsEnds: random() < 0.3,
    hasWebhooks: random() < 0.5,
    dispatchTimeoutMs: pickOne(random, [1500, 3000]),
    observeMs: pickOne(random, [500, 1000, 2000]),
  };
}

function callingOf(random: Random, severity: number): Calling {
  return {
    tasks: integerBetween(random, 1, 2),
    calls: integerBetween(random, 1, 2),
    callers: integerBetween(random, 1, 4),
    byPhone: pickOne(random, [0.5, 0.8, 1]),
    vapiFails: severity * pickOne(random, [0, 0.05, 0.2]),
    perTenant: integerBetween(random, 1, 4),
  };
}

const someOf = <T>(random: Random, items: readonly T[]): T[] => items.filter(() => random() < 0.6);
