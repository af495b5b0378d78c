// The dispatcher: the one writer of sessions. Several of them share the work.
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

/** Messages in hand at once. Each waits on NATS and hosts, hardly ever on this process. */
const CONCURRENCY = 256;

export async function startDispatcher(deps: DispatcherDeps): Promise<{ stop(): Promise<void> }> {
  const { bus, clock, log } = deps;
  const hosts = await watchHosts(bus);
  const sessions = await watchSessions(bus, clock);
  const fleet = new HostReservations(hosts);
  const waitingRoom = new WaitQueue({
    bus,
    clock,
    log,
    sessions,
    freeFor: (record) => fleet.freeFor(record),
  });
  hosts.onChange(() => waitingRoom.check());

  let writes = 0;
  const inOrder = createKeyedQueue();
  const dispatch = {
    bus,
    clock,
    log,
    livekit: deps.livekit,
    reservations: fleet,
    defaults: deps.defaults,
    excludeUntilUpdate: (hostId: string) => fleet.excludeUntilUpdate(hostId),
    nextWriteId: () => `${deps.instance}:${++writes}`,
    recordCache: new RecordCache(10_000),
    // A provider is asked for each by itself: nobody there waits for what another would take.
    hasOlderWaiting: (record: SessionRecord) =>
      !isExternal(record.provider) &&
      sessions
        .waiting(record.profile)
        .some(({ record: other }) => other.sessionId !== record.sessionId && !isExternal(other.provider)),
  };
  const stopConsuming = await bus.streams.consume(
    sessionEvents,
    { durable: "dispatcher", concurrency: CONCURRENCY },
    (event, delivery) => inOrder(sessionKey(event), () => handleSessionEvent(dispatch, event, delivery)),
  );
  const stopHandingOn = await forward(bus, sessionEvents);
  return {
    async stop() {
      waitingRoom.stop();
      await Promise.all([stopHandingOn(), stopConsuming()]);
      await hosts.stop();
      await sessions.stop();
    },
  };
}
