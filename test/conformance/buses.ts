// The buses of the conformance suites, and their fixtures.
import { randomUUID } from "node:crypto";
import type { Bus } from "../../libs/bus/bus.ts";
import { connectNatsBus } from "../../libs/bus/nats/nats-bus.ts";
import { hosts } from "../../libs/contracts/buckets.ts";
import type { SessionEvent, SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { type Channel, sessionEvents } from "../../libs/contracts/streams.ts";
import { systemClock } from "../../libs/runtime/clock.ts";
import { silentLog } from "../../libs/runtime/log.ts";
import { anEvent, aSession } from "../kit/fixtures/sessions.ts";
import { borrowNats } from "../kit/servers/shared-servers.ts";
import { until } from "../kit/until.ts";
import { createMemoryServer } from "../simulation/nats/memory-server.ts";

export interface TestBuses {
  /** Connects another client to the same server. */
  connect(name: string): Promise<Bus>;
  /** Closes all buses and stops the server. */
  stop(): Promise<void>;
}

/** The suite `cluster` runs on three nodes, the suite `conformance` on the others. */
export const kinds: readonly [string, () => Promise<TestBuses>][] =
  process.env.STACK_NATS_NODES === "3"
    ? [["three NATS nodes", () => startReal(3)]]
    : [
        ["memory", startMemory],
        ["NATS", () => startReal(1)],
      ];

async function startMemory(): Promise<TestBuses> {
  const server = createMemoryServer({ clock: systemClock, random: Math.random });
  return { connect: async (name) => server.connect(name), stop: async () => {} };
}

/** @param nodes the number of NATS servers, and of replicas of each stream */
async function startReal(nodes: number): Promise<TestBuses> {
  const nats = await borrowNats(nodes);
  const open: Bus[] = [];
  return {
    async connect(name) {
      const bus = await connectTo(nats.url, name, nodes);
      open.push(bus);
      return bus;
    },
    async stop() {
      for (const bus of open) await bus.close();
      await nats.stop();
    },
  };
}

export const connectTo = (url: string, name: string, replicas = 1): Promise<Bus> =>
  connectNatsBus({
    url,
    name,
    replicas,
    log: silentLog,
    onLost: (error) => {
      throw error;
    },
  });

/** Waits until `look` returns something; the time-out error contains its source. */
export const eventually = <T>(
  look: () => Promise<T | false | undefined> | T | false | undefined,
  timeoutMs = 30_000,
): Promise<T> => until(look, { timeoutMs, what: `this finds something: ${look}` });

/**
 * Waits until the server of a bus has handled what the bus has sent, for example the begin or end of a subscription. The
 * other nodes of a cluster hear of it a moment later.
 */
export async function hasArrived(...buses: readonly Bus[]): Promise<void> {
  for (const bus of buses) await bus.kv.get(hosts, "nobody");
  await new Promise((resolve) => setTimeout(resolve, 50));
}

/** A unique name: the tests of a suite share one server. */
export const fresh = (what: string): string => `${what}-${randomUUID().slice(0, 8)}`;

/** The stream of session events, limited to one tenant. */
export const eventsOf = (tenant: string): Channel<SessionEvent> => ({
  ...sessionEvents,
  subjects: `session.${tenant}.*.*`,
});

export const requested = (tenant: string, sessionId: string) => anEvent(sessionId, { tenant });

export const sessionRecord = (tenant: string, id: string, changed: Partial<SessionRecord> = {}) =>
  aSession(id, { tenant, ...changed });
