// The faults of a chaos run: what each does, to whom, for how long, and how it is over.
import type { HostRecord } from "../../libs/contracts/host.ts";
import type { NatsNode } from "../support/nats-cluster.ts";
import { integerBetween, pickOne, type Random } from "../support/random.ts";
import type { Side } from "./links.ts";
import type { Badness } from "./tcp-proxy.ts";
import type { World } from "./world.ts";

/** Ends a fault; answers when what was hurt is back, as far as somebody has to bring it back. */
export type Cure = () => Promise<void>;

export interface Strike {
  readonly target: string;
  readonly cure: Cure;
}

export interface FaultKind {
  readonly kind: string;
  /** How often it is chosen, beside the others. */
  readonly weight: number;
  readonly holdMs: readonly [number, number];
  /** What no other fault may have a hand in meanwhile. `one service` stands for whichever is struck. */
  readonly needs: "nats" | "livekit" | "service" | "nothing";
  /** @returns undefined when there is nobody to strike now */
  strike(scene: FaultScene): Promise<Strike | undefined>;
}

export interface FaultScene {
  readonly world: World;
  readonly random: Random;
  /** Of the services that no other fault has in hand; undefined when there is none. */
  freeService(kinds?: readonly string[]): string | undefined;
  /** The newest word of a host on itself. */
  hostRecord(name: string): HostRecord | undefined;
  forge(times: number): Promise<void>;
}

const nothing: Cure = async () => {};
const CAUGHT_UP_MS = 20_000;
const HOUR_MS = 3_600_000;

const killService: FaultKind = {
  kind: "kill -9 of a service",
  weight: 5,
  holdMs: [0, 500],
  needs: "service",
  async strike({ world, freeService }) {
    const target = freeService(["gateway", "dispatcher", "janitor"]);
    if (target === undefined) return undefined;
    world.service(target).signal("SIGKILL", "group");
    return { target, cure: nothing };
  },
};

const stopService: FaultKind = {
  kind: "SIGSTOP of a service",
  weight: 4,
  holdMs: [1000, 9000],
  needs: "service",
  async strike({ world, freeService }) {
    const target = freeService(["gateway", "dispatcher", "janitor"]);
    if (target === undefined) return undefined;
    return pause(world, target, "group");
  },
};

const killHost = (whom: "alone" | "group"): FaultKind => ({
  kind: `kill -9 of ${whom === "alone" ? "an agent-host, without its stages" : "a whole host"}`,
  weight: 2,
  holdMs: [0, 500],
  needs: "service",
  async strike({ world, freeService }) {
    const target = freeService(["agent-host"]);
    if (target === undefined) return undefined;
    world.service(target).signal("SIGKILL", whom);
    return { target, cure: nothing };
  },
});

const stopHost = (whom: "alone" | "group"): FaultKind => ({
  kind: `SIGSTOP of ${whom === "alone" ? "an agent-host, without its stages" : "a whole host"}`,
  weight: 2,
  holdMs: [500, 10_000],
  needs: "service",
  async strike({ world, freeService }) {
    const target = freeService(["agent-host"]);
    return target === undefined ? undefined : pause(world, target, whom);
  },
});

const hurtStage = (signal: "SIGKILL" | "SIGSTOP"): FaultKind => ({
  kind: `${signal === "SIGKILL" ? "kill -9" : "SIGSTOP"} of a stage`,
  weight: 3,
  holdMs: signal === "SIGKILL" ? [0, 500] : [500, 6000],
  needs: "service",
  async strike({ random, freeService, hostRecord }) {
    const host = freeService(["agent-host"]);
    const stages = (host === undefined ? undefined : hostRecord(host))?.stages ?? [];
    // One that serves somebody, if there is one: its death says more.
    const busy = stages.filter(({ slots }) => slots.some(({ state }) => state === "busy"));
    const [first, ...others] = (busy.length > 0 ? busy : stages).flatMap(({ pid }) => pid ?? []);
    if (first === undefined) return undefined;
    const pid = pickOne(random, [first, ...others]);
    if (!signalIfThere(pid, signal)) return undefined;
    return {
      target: `a stage of ${host}`,
      cure: async () => void (signal === "SIGSTOP" && signalIfThere(pid, "SIGCONT")),
    };
  },
});

const NATS_ROLES = [
  "any",
  "any",
  "leader of SESSIONS",
  "leader of KV_sessions",
  "leader of the cluster",
] as const;

const killNats: FaultKind = {
  kind: "kill -9 of a NATS node",
  weight: 4,
  holdMs: [500, 5000],
  needs: "nats",
  async strike({ world, random }) {
    const { node, target } = await someNode(world, random);
    await node.kill9();
    return { target, cure: () => bringBack(node) };
  },
};

const stopNats: FaultKind = {
  kind: "SIGSTOP of a NATS node",
  weight: 3,
  holdMs: [1000, 9000],
  needs: "nats",
  async strike({ world, random }) {
    const { node, target } = await someNode(world, random);
    node.pause();
    return {
      target,
      cure: async () => {
        node.resume();
        await caughtUp(node);
      },
    };
  },
};

const killTwoNats: FaultKind = {
  kind: "kill -9 of two NATS nodes",
  weight: 0.7,
  holdMs: [500, 4000],
  needs: "nats",
  async strike({ world, random }) {
    const spared = integerBetween(random, 0, world.cluster.nodes.length - 1);
    const nodes = world.cluster.nodes.filter((_, index) => index !== spared);
    await Promise.all(nodes.map((node) => node.kill9()));
    return {
      target: nodes.map(({ name }) => `nats ${name}`).join(" and "),
      cure: async () => void (await Promise.all(nodes.map(bringBack))),
    };
  },
};

const fullDisk: FaultKind = {
  kind: "a full disk under a NATS node",
  weight: 1.5,
  holdMs: [3000, 8000],
  needs: "nats",
  async strike({ world }) {
    const node = world.cluster.nodes.at(-1)!;
    const { disk } = world;
    if (disk === undefined) return undefined;
    disk.fill();
    return {
      target: `nats ${node.name}`,
      // A node that could not write gives JetStream up until it is started again, which is for an operator to do.
      cure: async () => {
        disk.free();
        await node.kill9();
        await bringBack(node);
      },
    };
  },
};

const killLiveKit: FaultKind = {
  kind: "kill -9 of LiveKit",
  weight: 1.5,
  holdMs: [500, 4000],
  needs: "livekit",
  async strike({ world: { livekit } }) {
    await livekit.kill9();
    return { target: "livekit", cure: () => livekit.restart() };
  },
};

const stopLiveKit: FaultKind = {
  kind: "SIGSTOP of LiveKit",
  weight: 1.5,
  holdMs: [500, 6000],
  needs: "livekit",
  async strike({ world: { livekit } }) {
    process.kill(livekit.pid, "SIGSTOP");
    return { target: "livekit", cure: async () => void process.kill(livekit.pid, "SIGCONT") };
  },
};

const NETWORKS: readonly [string, (random: Random) => Badness | "reset"][] = [
  ["a slow network", (random) => ({ delayMs: integerBetween(random, 100, 1500) })],
  ["torn connections", () => "reset"],
  ["half-open connections", () => ({ halfOpen: true })],
  ["a network that works one way", (random) => ({ oneWay: random() < 0.5 ? "up" : "down" })],
  ["a network that swallows all", () => ({ blackhole: true })],
];

const network = ([kind, badnessOf]: (typeof NETWORKS)[number]): FaultKind => ({
  kind,
  weight: 2,
  holdMs: [1000, 10_000],
  needs: "service",
  async strike({ world, random, freeService }) {
    const target = freeService();
    if (target === undefined) return undefined;
    // The janitor and the dispatcher say little to LiveKit, everybody says much to NATS.
    const side = pickOne<Side>(random, ["nats", "nats", "livekit", "both"]);
    const links = world.linksOf(target);
    const badness = badnessOf(random);
    if (badness === "reset") links.reset(side);
    else links.spoil(side, badness);
    return { target: `${target} – ${side}`, cure: async () => links.heal() };
  },
});

const wrongClock: FaultKind = {
  kind: "a clock that is wrong by an hour",
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
  killService,
  stopService,
  killHost("alone"),
  killHost("group"),
  stopHost("alone"),
  stopHost("group"),
  hurtStage("SIGKILL"),
  hurtStage("SIGSTOP"),
  killNats,
  stopNats,
  killTwoNats,
  fullDisk,
  killLiveKit,
  stopLiveKit,
  ...NETWORKS.map(network),
  wrongClock,
  forgedEvents,
];

function pause(world: World, target: string, whom: "alone" | "group"): Strike {
  const service = world.service(target);
  service.signal("SIGSTOP", whom);
  return { target, cure: async () => service.signal("SIGCONT", whom) };
}

async function someNode(world: World, random: Random): Promise<{ node: NatsNode; target: string }> {
  const role = pickOne(random, NATS_ROLES);
  const any = pickOne(random, world.cluster.nodes as [NatsNode, ...NatsNode[]]);
  const leader =
    role === "leader of SESSIONS"
      ? world.cluster.streamLeader("SESSIONS")
      : role === "leader of KV_sessions"
        ? world.cluster.streamLeader("KV_sessions")
        : role === "leader of the cluster"
          ? world.cluster.metaLeader()
          : any;
  const node = await leader;
  return { node, target: role === "any" ? `nats ${node.name}` : `nats ${node.name}, ${role}` };
}

async function bringBack(node: NatsNode): Promise<void> {
  await node.restart();
  await caughtUp(node);
}

/** The next node is struck only when this one has everything, or is taking very long. */
async function caughtUp(node: NatsNode): Promise<void> {
  const untilMs = performance.now() + CAUGHT_UP_MS;
  while (performance.now() < untilMs && !(await node.isCurrent()))
    await new Promise((resolve) => setTimeout(resolve, 200));
}

function signalIfThere(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}
