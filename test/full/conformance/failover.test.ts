// Kills and pauses each node of a NATS cluster in turn under traffic, and measures the interruptions.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Bus } from "../../../libs/bus/bus.ts";
import { connectTo, fresh } from "../../conformance/buses.ts";
import { type Gaps, startTraffic, type Traffic } from "../../conformance/traffic.ts";
import { type NatsCluster, type NatsNode, startNatsCluster } from "../../kit/servers/nats-cluster.ts";
import { until } from "../../kit/until.ts";

/**
 * Replicas without a leader wait 4 to 9 s before they elect another one (constants of nats-server), and longer
 * after a split vote. The rest of the bound is for detection by the bus and for a busy machine.
 */
const ELECTION_MS = 9000;
const BOUND_MS = ELECTION_MS + 11_000;
/** The maximum interruption of publishing when any node is killed: the stream or its overflow stream stores messages. */
const PUBLISHING_MS = 5000;
/** How long to wait for interrupted operations. */
const WAIT_MS = BOUND_MS;
const POLL_MS = 100;
/** The usual maximum interruption of consuming. */
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
    { timeoutMs: BOUND_MS, what: "two nodes lead the stream and its overflow stream" },
  );

const roles: [what: string, find: () => Promise<NatsNode>][] = [
  ["leads the stream", () => cluster.streamLeader("SESSIONS")],
  ["leads the consumer", () => cluster.consumerLeader("SESSIONS", durable)],
  ["leads the bucket", () => cluster.streamLeader("KV_hosts")],
  ["leads the cluster", () => cluster.metaLeader()],
  ["serves the consuming client", () => cluster.nodeOf("consumer")],
];

describe.each([
  ["killed", (node: NatsNode) => node.kill9(), (node: NatsNode) => node.restart()],
  ["paused", async (node: NatsNode) => node.pause(), async (node: NatsNode) => node.resume()],
] as const)("NATS cluster whose node is %s", (how, disrupt, mend) => {
  test.each(roles)("resumes all operations if the node %s", async (what, find) => {
    await leadersApart();
    const node = await find();
    const isWritersNode = node.name === (await cluster.nodeOf("writer")).name;
    traffic.reset();
    await disrupt(node);
    let gaps: Gaps;
    try {
      gaps = await longestGaps();
    } finally {
      await mend(node);
      await cluster.healed();
    }
    measured.push(gaps);
    console.log(
      `${node.name}, which ${what}, was ${how}: longest interruptions in ms ${JSON.stringify(gaps)}`,
    );
    // A client takes some seconds to notice that its own node no longer answers on an open connection.
    const most = how === "paused" && isWritersNode ? BOUND_MS : PUBLISHING_MS;
    expect(gaps.publishing, "publishing").toBeLessThan(most);
    expect(gaps.consuming, "consuming").toBeLessThan(BOUND_MS);
    expect(gaps.saving, "saving").toBeLessThan(BOUND_MS);
    expect(gaps.watching, "watching").toBeLessThan(BOUND_MS);
    expect(gaps.following, "following").toBeLessThan(BOUND_MS);
  });
});

describe("NATS cluster", () => {
  test("resumes consuming within twelve seconds in most cases", () => {
    const pauses = measured.map(({ consuming }) => consuming).sort((one, other) => one - other);
    expect(pauses.length).toBeGreaterThan(0);
    expect(pauses[Math.floor(pauses.length / 2)]).toBeLessThan(USUAL_CONSUMING_MS);
  });

  test("loses no acknowledged message or record", async () => {
    const { published, consumed, savedUpTo, followedUpTo } = await traffic.stop(60_000);
    expect(savedUpTo).toBeGreaterThan(0);
    expect(followedUpTo).toBeGreaterThanOrEqual(savedUpTo);
    expect(published.size).toBeGreaterThan(100);
    expect([...published].filter((id) => !consumed.has(id))).toEqual([]);
  });
});

/** The longest interruptions, measured until every operation works again or the bound has passed. */
async function longestGaps(): Promise<Gaps> {
  // Some operations fail only with the first missed ping.
  await new Promise((resolve) => setTimeout(resolve, ELECTION_MS));
  const deadline = performance.now() + WAIT_MS - ELECTION_MS;
  while (!traffic.isMoving() && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return traffic.gaps();
}
