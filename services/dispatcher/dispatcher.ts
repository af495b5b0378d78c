// The dispatcher: the one writer of session records. Several instances share the work.
import { forward } from "../../libs/bus/overflow.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { sessionKey } from "../../libs/contracts/ids.ts";
import { isExternal } from "../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../libs/contracts/streams.ts";
import type { SessionDefaults } from "../../libs/domain/session/reduce.ts";
import { watchHosts } from "../../libs/fleet/host-view.ts";
import { watchSessions } from "../../libs/fleet/session-view.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { createKeyedQueue } from "../../libs/runtime/keyed-queue.ts";
import { handleSessionEvent } from "./handle-session-event.ts";
import { HostReservations } from "./host-reservations.ts";
import { RecordCache } from "./record-cache.ts";
import { WaitQueue } from "./wait-queue.ts";

export interface DispatcherDeps extends ServiceDeps {
  readonly livekit: LiveKit | undefined;
  readonly instance: string;
  readonly defaults: SessionDefaults;
}

/** Events in progress. Each waits for NATS and hosts most of the time, and needs little CPU. */
const CONCURRENCY = 256;
const CACHED_RECORDS = 10_000;

export async function startDispatcher(deps: DispatcherDeps): Promise<{ stop(): Promise<void> }> {
  const { bus, clock, log } = deps;
  const hosts = await watchHosts(bus);
  const sessions = await watchSessions(bus, clock);
  const reservations = new HostReservations(hosts);
  const waitQueue = new WaitQueue({
    bus,
    clock,
    log,
    sessions,
    freeFor: (record) => reservations.freeFor(record),
  });
  hosts.onChange(() => waitQueue.check());

  let writes = 0;
  const oneByOne = createKeyedQueue();
  const dispatch = {
    bus,
    clock,
    log,
    livekit: deps.livekit,
    reservations,
    defaults: deps.defaults,
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
    { durable: "dispatcher", concurrency: CONCURRENCY },
    (event, delivery) => oneByOne(sessionKey(event), () => handleSessionEvent(dispatch, event, delivery)),
  );
  const stopForwarding = await forward(bus, sessionEvents);
  return {
    async stop() {
      waitQueue.stop();
      await Promise.all([stopForwarding(), stopConsuming()]);
      await hosts.stop();
      await sessions.stop();
    },
  };
}
