// The view that one process has of the sessions, including the wait queue in its order.
import { type BucketView, type Seen, watchBucket } from "../bus/bucket-view.ts";
import type { Bus } from "../bus/bus.ts";
import { sessions } from "../contracts/buckets.ts";
import { sessionKey } from "../contracts/ids.ts";
import type { SessionRecord } from "../contracts/sessions/session.ts";
import type { Clock } from "../runtime/clock.ts";

export type SeenSession = Seen<SessionRecord>;

export interface SessionView extends Omit<BucketView<SessionRecord>, "get"> {
  get(tenant: string, sessionId: string): SeenSession | undefined;
  /** Sessions that wait for a host, in the order in which their requests were stored. */
  waiting(profile?: string): SeenSession[];
  /** The sessions of a room, also the ended ones that are still stored. */
  inRoom(tenant: string, room: string): SeenSession[];
}

/** Follows the sessions until stopped. Returns once all stored sessions are known. */
export async function watchSessions(bus: Bus, clock: Clock): Promise<SessionView> {
  const requested = new Map<string, SeenSession>();
  const rooms = new RoomIndex();
  const view = await watchBucket(bus, sessions, clock, {
    onChange({ key, seen }) {
      if (seen?.record.state === "requested") requested.set(key, seen);
      else requested.delete(key);
      rooms.follow(key, seen?.record);
    },
  });
  return {
    ...view,
    get: (tenant, sessionId) => view.get(sessionKey({ tenant, sessionId })),
    inRoom: (tenant, room) => rooms.keysOf(tenant, room).flatMap((key) => view.get(key) ?? []),
    waiting: (profile) =>
      [...requested.values()]
        .filter(({ record }) => profile === undefined || record.profile === profile)
        .sort((a, b) => queueSeqOf(a.record) - queueSeqOf(b.record) || a.revision - b.revision),
  };
}

/** The keys of the sessions in each room. The room of a session may change until it is ready. */
class RoomIndex {
  readonly #keys = new Map<string, Set<string>>();
  readonly #roomOf = new Map<string, string>();

  keysOf(tenant: string, room: string): string[] {
    return [...(this.#keys.get(`${tenant} ${room}`) ?? [])];
  }

  follow(key: string, record: SessionRecord | undefined): void {
    const before = this.#roomOf.get(key);
    const now = record === undefined ? undefined : `${record.tenant} ${record.room}`;
    if (before === now) return;
    if (before !== undefined) {
      const keys = this.#keys.get(before);
      keys?.delete(key);
      if (keys?.size === 0) this.#keys.delete(before);
      this.#roomOf.delete(key);
    }
    if (now === undefined) return;
    this.#roomOf.set(key, now);
    this.#keys.set(now, (this.#keys.get(now) ?? new Set()).add(key));
  }
}

/** The order is not by the time of the request, which comes from the clock of any gateway (I7). */
const queueSeqOf = (record: SessionRecord): number => record.queueSeq ?? 0;
