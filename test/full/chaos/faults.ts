// All faults of a chaos run: services, servers, networks, clocks and forged events.
import { integerBetween, pickOne, type Random } from "../../kit/random.ts";
import { type FaultKind, nothing } from "./fault.ts";
import type { Side } from "./links.ts";
import { serverFaults } from "./server-faults.ts";
import { serviceFaults } from "./service-faults.ts";
import type { Badness } from "./tcp-proxy.ts";

const HOUR_MS = 3_600_000;

const NETWORKS: readonly [string, (random: Random) => Badness | "reset"][] = [
  ["a slow network", (random) => ({ delayMs: integerBetween(random, 100, 1500) })],
  ["torn connections", () => "reset"],
  ["half-open connections", () => ({ halfOpen: true })],
  ["a one-way network", (random) => ({ oneWay: random() < 0.5 ? "up" : "down" })],
  ["a black hole", () => ({ blackhole: true })],
];

const network = ([kind, badnessOf]: (typeof NETWORKS)[number]): FaultKind => ({
  kind,
  weight: 2,
  holdMs: [1000, 10_000],
  needs: "service",
  async strike({ world, random, freeService }) {
    const target = freeService();
    if (target === undefined) return undefined;
    // The janitor and the dispatcher rarely call LiveKit, and every service often calls NATS.
    const side = pickOne<Side>(random, ["nats", "nats", "livekit", "both"]);
    const links = world.linksOf(target);
    const badness = badnessOf(random);
    if (badness === "reset") links.reset(side);
    else links.spoil(side, badness);
    return { target: `${target} – ${side}`, cure: async () => links.heal() };
  },
});

const wrongClock: FaultKind = {
  kind: "clock skew of an hour",
  weight: 3,
  holdMs: [2000, 15_000],
  needs: "service",
  async strike({ world, random, freeService }) {
    const target = freeService();
    if (target === undefined) return undefined;
    const ms = random() < 0.5 ? HOUR_MS : -HOUR_MS;
    world.clocks.shift(target, ms);
    return {
      target: `${target} ${ms > 0 ? "+" : "−"}1 h`,
      cure: async () => world.clocks.shift(target, 0),
    };
  },
};

const forgedEvents: FaultKind = {
  kind: "forged, repeated and late events",
  weight: 4,
  holdMs: [0, 100],
  needs: "nothing",
  async strike({ random, forge }) {
    const times = integerBetween(random, 3, 12);
    await forge(times);
    return { target: `${times} messages`, cure: nothing };
  },
};

export const faultKinds: readonly FaultKind[] = [
  ...serviceFaults,
  ...serverFaults,
  ...NETWORKS.map(network),
  wrongClock,
  forgedEvents,
];
