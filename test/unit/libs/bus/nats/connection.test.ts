// The heartbeats of consumers, by the topology of NATS.
import type { NatsConnection } from "nats";
import { expect, test } from "vitest";
import { ReconnectingConnection } from "../../../../../libs/bus/nats/connection.ts";
import { silentLog } from "../../../../../libs/runtime/log.ts";

/** A connection to a server of the given cluster, on which nothing happens. */
const connectionTo = (cluster: string | undefined): NatsConnection =>
  ({
    info: { cluster },
    status: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }),
    closed: () => new Promise(() => {}),
  }) as unknown as NatsConnection;

test.each([
  ["a single server", undefined, 1, 5000],
  ["a server that is given several copies", undefined, 3, 1000],
  ["a server of a cluster, without the setting in this process", "greenroom", 1, 1000],
])("expects the heartbeats of %s", (_what, cluster, replicas, heartbeatMs) => {
  const link = new ReconnectingConnection(connectionTo(cluster), {
    inboxPrefix: "i",
    replicas,
    log: silentLog,
  });
  expect(link.heartbeatMs).toBe(heartbeatMs);
});
