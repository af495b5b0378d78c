// The scenario of a seed: its processes, faults, and misbehaviour of agents.

import type { PoolSettings } from "../../libs/contracts/fleet/pool.ts";
import type { Deadlines } from "../../libs/contracts/sessions/session.ts";
import { createRandom, forkRandom, integerBetween, pickOne, type Random } from "../kit/random.ts";
import type { Faults } from "./nats/faults.ts";

/** Probabilities of an agent's faults, each for one load, start or session. */
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
  /** The agent never joins its room and never fails. */
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

/** External agents: workers of LiveKit's agent framework, and the providers service. */
interface Outside {
  readonly providers: number;
  /** The share of the clients that request an external agent. */
  readonly wanted: number;
  /** The shares of dispatches that no worker accepts, that are accepted late, and that a worker refuses for all. */
  readonly untaken: number;
  readonly late: number;
  readonly refuses: number;
  /** Whether LiveKit reports that jobs have ended, and whether its webhooks arrive. */
  readonly reportsEnds: boolean;
  readonly hasWebhooks: boolean;
  readonly dispatchTimeoutMs: number;
  readonly observeMs: number;
}

/** Tasks, their phone calls, and call records. */
interface Calling {
  readonly tasks: number;
  readonly calls: number;
  readonly callers: number;
  /** The share of tasks with a phone call over VAPI; the others use agents of the pool. */
  readonly byPhone: number;
  /** The probability that one call to VAPI's API fails. */
  readonly vapiFails: number;
  readonly perTenant: number;
}

export interface Scenario {
  readonly seed: number;
  /** The number of NATS servers: the answer to a failed compare-and-set depends on it. */
  readonly replicas: 1 | 3;
  readonly dispatchers: number;
  readonly hosts: number;
  readonly janitors: number;
  readonly gateways: number;
  readonly clients: number;
  readonly profiles: readonly string[];
  readonly chaosMs: number;
  readonly faults: Partial<Faults>;
  /** Empty for a world without chaos. */
  readonly chaos: readonly ChaosKind[];
  readonly chaosEveryMs: number;
  readonly misbehaviour: Misbehaviour;
  /** The agent process of every session that starts on this host dies. */
  readonly brokenHost?: string;
  /** The probability that one call to LiveKit's API fails. */
  readonly livekitFails: number;
  readonly pool: PoolSettings;
  readonly maxAgents: number;
  readonly deadlineMs: Deadlines;
  readonly maxAttempts: number;
  /** A restarted host keeps its name with a new epoch, or gets a new name. */
  readonly hostsKeepTheirNames: boolean;
  /** Undefined in worlds without the providers service, where every agent comes from the pool. */
  readonly outside: Outside | undefined;
  /** Undefined in worlds without tasks. */
  readonly calling: Calling | undefined;
  /** The share of sessions that prefer the version of the first host. Undefined in worlds without a canary. */
  readonly canaryShare: number | undefined;
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

/** Every kind of chaos. */
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

export function misbehaviourOn(scenario: Scenario, isCalm: boolean, host?: string): Misbehaviour {
  const { brokenHost, misbehaviour } = scenario;
  if (isCalm) return behaved;
  return host !== undefined && host === brokenHost ? { ...misbehaviour, dies: 1 } : misbehaviour;
}

/** The time of a hop between a client and the server in a healthy world, in ms. */
export const HEALTHY_HOP: readonly [number, number] = [0.2, 1.5];
/** The time between replicas of the store in a healthy world, in ms. */
export const HEALTHY_IN_FLIGHT: readonly [number, number] = [0.2, 2];

/** All worlds below this seed are large. */
export const FIRST_SMALL_SEED = 10_000;
/** Worlds from this seed on have the providers service; the worlds of earlier seeds did not change when it was added. */
export const FIRST_CONNECTED_SEED = 40_000;
/** Random numbers for providers and handoffs. Other constants would change the worlds of all these seeds. */
const outsideRandom = (seed: number): Random =>
  createRandom((Math.imul(seed, -1_796_951_359) - 775_645_754) | 0);
/** Worlds from this seed on also have the services tasks and calls. */
export const FIRST_CALLING_SEED = 60_000;
/** Worlds from this seed on have several hosts and a canary. */
export const FIRST_CANARY_SEED = 80_000;

export function scenarioOf(seed: number): Scenario {
  const random = forkRandom(seed, "scenario");
  // Later additions draw from a generator of their own, so that the worlds of older seeds stay the same.
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
    outside: seed < FIRST_CONNECTED_SEED ? undefined : outsideOf(outsideRandom(seed), severity),
    calling: seed < FIRST_CALLING_SEED ? undefined : callingOf(forkRandom(seed, "calling"), severity),
    canaryShare: undefined,
    ...small,
    ...(seed < FIRST_CANARY_SEED ? {} : canaryOf(forkRandom(seed, "canary"))),
  };
}

/**
 * Most later seeds give small worlds: few clients, a short run and frequent faults. Small worlds find most bugs,
 * and several of them take no longer than a large one.
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

const canaryOf = (random: Random): Pick<Scenario, "hosts" | "canaryShare"> => ({
  hosts: integerBetween(random, 2, 3),
  canaryShare: pickOne(random, [0, 0.2, 0.5, 1]),
});

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
    reportsEnds: random() < 0.3,
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
