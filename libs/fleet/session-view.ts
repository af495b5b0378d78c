// The sessions as one process sees them, and for how long it has seen each as it is.
import type { Bus, Stop } from "../bus/bus.ts";
import { sessions } from "../contracts/buckets.ts";
import { sessionKey } from "../contracts/ids.ts";
import type { SessionRecord } from "../contracts/sessions/session.ts";
import type { Clock } from "../runtime/clock.ts";

export interface SeenSession {
  readonly record: SessionRecord;
  readonly revision: number;
  /** When this process first saw this revision, on its own monotonic clock, in ms. */
  readonly seenAtMs: number;
}

type Listener = (session: SeenSession | undefined, key: string) => void;

export interface SessionView {
  get(tenant: string, sessionId: string): SeenSession | undefined;
  all(): SeenSession[];
  /** Sessions that wait for a host, in the order in which their requests were stored. */
  waiting(profile?: string): SeenSession[];
  /** Calls at each revision that is seen (some may be skipped); undefined: the record was removed. */
  onChange(listener: Listener): () => void;
  stop: Stop;
}

/** Follows the sessions until stopped. Answers when all that are stored are known. */
export async function watchSessions(bus: Bus, clock: Clock): Promise<SessionView> {
  const known = new Map<string, SeenSession>();
  const requested = new Map<string, SeenSession>();
  const listeners = new Set<Listener>();
  const stop = await bus.kv.watch(sessions, ({ key, value, revision }) => {
    const present = known.get(key);
    if (present !== undefined && present.revision >= revision && value !== undefined) return;
    if (value === undefined) {
      known.delete(key);
      requested.delete(key);
      for (const listener of listeners) listener(undefined, key);
      return;
    }
    const seen = { record: value, revision, seenAtMs: clock.monotonic() };
    known.set(key, seen);
    if (value.state === "requested") requested.set(key, seen);
    else requested.delete(key);
    for (const listener of listeners) listener(seen, key);
  });
  return {
    get: (tenant, sessionId) => known.get(sessionKey({ tenant, sessionId })),
    all: () => [...known.values()],
    waiting: (profile) =>
      [...requested.values()]
        .filter(({ record }) => profile === undefined || record.profile === profile)
        .sort((a, b) => placeOf(a.record) - placeOf(b.record) || a.revision - b.revision),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    stop,
  };
}

/** Not by the time of the request, which is on the clock of whichever gateway took it. */
const placeOf = (record: SessionRecord): number => record.queueSeq ?? 0;
