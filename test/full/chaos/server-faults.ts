// Faults of the servers: killed and stopped NATS nodes and LiveKit, and a full disk.

import { integerBetween, pickOne, type Random } from "../../kit/random.ts";
import type { NatsNode } from "../../kit/servers/nats-cluster.ts";
import type { FaultKind } from "./fault.ts";
import type { World } from "./world.ts";

const CAUGHT_UP_MS = 20_000;

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
      // A node that fails to write disables JetStream until an operator restarts it.
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

export const serverFaults: readonly FaultKind[] = [
  killNats,
  stopNats,
  killTwoNats,
  fullDisk,
  killLiveKit,
  stopLiveKit,
];

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

/** Waits until a node has caught up, or for a long time, before the next node may be struck. */
async function caughtUp(node: NatsNode): Promise<void> {
  const untilMs = performance.now() + CAUGHT_UP_MS;
  while (performance.now() < untilMs && !(await node.isCurrent()))
    await new Promise((resolve) => setTimeout(resolve, 200));
}
