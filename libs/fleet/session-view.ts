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
}

/** Follows the sessions until stopped. Returns once all stored sessions are known. */
export async function watchSessions(bus: Bus, clock: Clock): Promise<SessionView> {
  const requested = new Map<string, SeenSession>();
  const view = await watchBucket(bus, sessions, clock, {
    onChange({ key, seen }) {
      if (seen?.record.state === "requested") requested.set(key, seen);
      else requested.delete(key);
    },
  });
  return {
    ...view,
    get: (tenant, sessionId) => view.get(sessionKey({ tenant, sessionId })),
    waiting: (profile) =>
      [...requested.values()]
        .filter(({ record }) => profile === undefined || record.profile === profile)
        .sort((a, b) => queueSeqOf(a.record) - queueSeqOf(b.record) || a.revision - b.revision),
  };
}

/** The order is not by the time of the request, which comes from the clock of any gateway (I7). */
const queueSeqOf = (record: SessionRecord): number => record.queueSeq ?? 0;
