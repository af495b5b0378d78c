// Who wants to hear of which session: one listener on the view, many on single sessions.
import { sessionKey } from "../../../libs/contracts/ids.ts";
import type { SeenSession, SessionView } from "../../../libs/fleet/session-view.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";

/** Undefined: the record was removed. */
type SessionListener = (session: SeenSession | undefined) => void;

export interface SessionSubscriptions {
  /** Calls at each change of one session from now on, until the answer is called. */
  follow(sessionId: string, listener: SessionListener): () => void;
  /**
   * The session as soon as it is as wanted; what it is by then (or undefined) when the time is over. It looks
   * at the present state first and misses no change after, so ask before causing what is waited for.
   */
  until(
    sessionId: string,
    isWanted: (session: SeenSession) => boolean,
    ms: number,
  ): Promise<SeenSession | undefined>;
  /** Ends every wait at once, as if its time were over. */
  stop(): void;
}

export function createSubscriptions(
  sessions: SessionView,
  clock: Clock,
  tenant: string,
): SessionSubscriptions {
  const listeners = new Map<string, Set<SessionListener>>();
  const waits = new Set<() => void>();
  let stopped = false;
  const stopListening = sessions.onChange(({ key, seen }) => {
    for (const listener of [...(listeners.get(key) ?? [])]) listener(seen);
  });
  const follow = (sessionId: string, listener: SessionListener) => {
    const key = sessionKey({ tenant, sessionId });
    const mine = listeners.get(key) ?? new Set();
    listeners.set(key, mine.add(listener));
    return () => {
      mine.delete(listener);
      if (mine.size === 0 && listeners.get(key) === mine) listeners.delete(key);
    };
  };
  return {
    follow,
    until(sessionId, isWanted, ms) {
      return new Promise((resolve) => {
        let seen = sessions.get(tenant, sessionId);
        if (stopped || ms <= 0 || (seen !== undefined && isWanted(seen))) return resolve(seen);
        const finish = () => {
          unfollow();
          cancel();
          waits.delete(finish);
          resolve(seen);
        };
        const cancel = clock.after(ms, finish);
        waits.add(finish);
        const unfollow = follow(sessionId, (session) => {
          seen = session;
          if (session !== undefined && isWanted(session)) finish();
        });
      });
    },
    stop() {
      stopped = true;
      stopListening();
      for (const finish of [...waits]) finish();
    },
  };
}
