// The dispatcher: the one writer of session records. Several instances share the work.
import { watchBucket } from "../../libs/bus/bucket-view.ts";
import { forward } from "../../libs/bus/overflow.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { pools as poolsBucket } from "../../libs/contracts/buckets.ts";
import { sessionKey } from "../../libs/contracts/ids.ts";
import { isExternal } from "../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../libs/contracts/streams.ts";
import type { SessionDefaults } from "../../libs/domain/session/reduce.ts";
import { watchHosts } from "../../libs/fleet/host-view.ts";
import { watchSessions } from "../../libs/fleet/session-view.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { createKeyedQueue } from "../../libs/runtime/keyed-queue.ts";
import { CircuitBreaker } from "./circuit-breaker.ts";
import { handleSessionEvent } from "./handle-session-event.ts";
import { HostReservations } from "./host-reservations.ts";
import { RecordCache } from "./record-cache.ts";
import { WaitQueue } from "./wait-queue.ts";

export interface DispatcherDeps extends ServiceDeps {
  readonly livekit: LiveKit | undefined;
  readonly instance: string;
  readonly defaults: SessionDefaults;
}

export interface RunningDispatcher {
  /** The hosts that are set aside, if there are any. */
  degradedReason(): string | undefined;
  stop(): Promise<void>;
}

/** Events in progress. Each waits for NATS and hosts most of the time, and needs little CPU. */
const CONCURRENCY = 256;
const CACHED_RECORDS = 10_000;

export async function startDispatcher(deps: DispatcherDeps): Promise<RunningDispatcher> {
  const { bus, clock, log } = deps;
  const hosts = await watchHosts(bus);
  const sessions = await watchSessions(bus, clock);
  const pools = await watchBucket(bus, poolsBucket, clock);
  const circuitBreaker = new CircuitBreaker(() => clock.monotonic());
  const canaryOf = (profile: string) => pools.get(profile)?.record.canary;
  const reservations = new HostReservations(hosts, circuitBreaker, canaryOf);
  const waitQueue = new WaitQueue({
    bus,
    clock,
    log,
    sessions,
    freeFor: (record) => reservations.freeFor(record),
  });
  hosts.onChange((host, id) => {
    if (host !== undefined) circuitBreaker.onRegistered(id, host.epoch);
    waitQueue.check();
  });

  let writes = 0;
  const oneByOne = createKeyedQueue();
  const dispatch = {
    bus,
    clock,
    log,
    livekit: deps.livekit,
    reservations,
    circuitBreaker,
    defaults: deps.defaults,
    isRoomReused: ({ room, sessionId, tenant }: SessionRecord) =>
      sessions
        .inRoom(tenant, room)
        .some(({ record }) => record.sessionId !== sessionId && record.state !== "ended"),
    excludeUntilUpdate: (hostId: string) => reservations.excludeUntilUpdate(hostId),
    nextWriteId: () => `${deps.instance}:${++writes}`,
    recordCache: new RecordCache(CACHED_RECORDS),
    // Sessions of external providers do not wait for each other.
    hasOlderWaiting: (record: SessionRecord) =>
      !isExternal(record.provider) &&
      sessions
        .waiting(record.profile)
        .some(({ record: other }) => other.sessionId !== record.sessionId && !isExternal(other.provider)),
  };
  const stopConsuming = await bus.streams.consume(
    sessionEvents,
    { durable: "dispatcher", description: "Dispatcher: handles session events.", concurrency: CONCURRENCY },
    (event, delivery) => oneByOne(sessionKey(event), () => handleSessionEvent(dispatch, event, delivery)),
  );
  const stopForwarding = await forward(bus, sessionEvents);
  return {
    degradedReason: () => circuitBreaker.reason((id) => hosts.get(id) !== undefined),
    async stop() {
      waitQueue.stop();
      await Promise.all([stopForwarding(), stopConsuming()]);
      await hosts.stop();
      await sessions.stop();
      await pools.stop();
    },
  };
}
