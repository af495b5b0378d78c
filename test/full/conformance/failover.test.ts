// Each node of a NATS cluster is killed in turn, and stopped in turn, under traffic: everything goes on.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Bus } from "../../../libs/bus/bus.ts";
import { connectTo, fresh } from "../../conformance/buses.ts";
import { type Gaps, startTraffic, type Traffic } from "../../conformance/traffic.ts";
import { type NatsCluster, type NatsNode, startNatsCluster } from "../../kit/servers/nats-cluster.ts";
import { until } from "../../kit/until.ts";

/**
 * A group of replicas that loses its leader waits 4 to 9 s before it chooses another one (constants of
 * nats-server), and longer when two candidates get a vote each. The rest is for the bus to notice and for a
 * machine that is busy with other things.
 */
const ELECTION_MS = 9000;
const BOUND_MS = ELECTION_MS + 11_000;
/** Within which it is stored again what is said, whichever node was killed: by the stream, or by its relief. */
const PUBLISHING_MS = 5000;
/** Long enough that whatever stands still is seen to. */
const LOOK_MS = BOUND_MS;
const EVERY_MS = 100;
/** Within which most losses of a node are over for who consumes. */
const USUAL_CONSUMING_MS = 12_000;

let cluster: NatsCluster;
let traffic: Traffic;
const buses: Bus[] = [];
const measured: Gaps[] = [];
const durable = fresh("d");

beforeAll(async () => {
  cluster = await startNatsCluster();
  for (const name of ["writer", "consumer", "watcher"]) buses.push(await connectTo(cluster.url, name, 3));
  const [writer, consumer, watcher] = buses as [Bus, Bus, Bus];
  traffic = await startTraffic({ writer, consumer, watcher }, durable);
});
afterAll(async () => {
  for (const bus of buses) await bus.close();
  await cluster?.stop();
});

const leadersApart = () =>
  until(
    async () =>
      (await cluster.streamLeader("SESSIONS")).name !==
      (await cluster.streamLeader("SESSIONS_OVERFLOW")).name,
    { timeoutMs: BOUND_MS, what: "the stream and its relief are led by two nodes" },
  );

const roles: [what: string, find: () => Promise<NatsNode>][] = [
  ["leads the stream", () => cluster.streamLeader("SESSIONS")],
  ["leads the consumer", () => cluster.consumerLeader("SESSIONS", durable)],
  ["leads the bucket", () => cluster.streamLeader("KV_hosts")],
  ["leads the cluster", () => cluster.metaLeader()],
  ["the consuming client is connected to", () => cluster.nodeOf("consumer")],
];

describe.each([
  ["killed", (node: NatsNode) => node.kill9(), (node: NatsNode) => node.restart()],
  ["stopped", async (node: NatsNode) => node.pause(), async (node: NatsNode) => node.resume()],
] as const)("when a node is %s", (how, harm, mend) => {
  test.each(roles)("which %s, all goes on", async (what, find) => {
    await leadersApart();
    const node = await find();
    const isWritersNode = node.name === (await cluster.nodeOf("writer")).name;
    traffic.reset();
    await harm(node);
    let gaps: Gaps;
    try {
      gaps = await standstill();
    } finally {
      await mend(node);
      await cluster.healed();
    }
    measured.push(gaps);
    console.log(`${node.name}, which ${what}, was ${how}: longest pauses in ms ${JSON.stringify(gaps)}`);
    // A client needs some seconds to notice that its own node doesn't answer any more, if that isn't closed.
    const most = how === "stopped" && isWritersNode ? BOUND_MS : PUBLISHING_MS;
    expect(gaps.publishing, "publishing").toBeLessThan(most);
    expect(gaps.consuming, "consuming").toBeLessThan(BOUND_MS);
    expect(gaps.saving, "saving").toBeLessThan(BOUND_MS);
    expect(gaps.watching, "watching").toBeLessThan(BOUND_MS);
    expect(gaps.following, "following").toBeLessThan(BOUND_MS);
  });
});

test("consuming usually goes on within twelve seconds", () => {
  const pauses = measured.map(({ consuming }) => consuming).sort((one, other) => one - other);
  expect(pauses.length).toBeGreaterThan(0);
  expect(pauses[Math.floor(pauses.length / 2)]).toBeLessThan(USUAL_CONSUMING_MS);
});

test("nothing that was published or saved is lost, and the writer was told of all of it", async () => {
  const { published, consumed, savedUpTo, followedUpTo } = await traffic.stop(60_000);
  expect(savedUpTo).toBeGreaterThan(0);
  expect(followedUpTo).toBeGreaterThanOrEqual(savedUpTo);
  expect(published.size).toBeGreaterThan(100);
  expect([...published].filter((id) => !consumed.has(id))).toEqual([]);
});

/** The longest pauses, once each way has moved again after the harm was done, or the bound has passed. */
async function standstill(): Promise<Gaps> {
  // What notices nothing at once may notice it by its first missed sign of life.
  await new Promise((resolve) => setTimeout(resolve, ELECTION_MS));
  const deadline = performance.now() + LOOK_MS - ELECTION_MS;
  while (!traffic.isMoving() && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
  return traffic.gaps();
}
