// Subscriptions to single sessions: one listener on the view serves all of them.
import { sessionKey } from "../../../libs/contracts/ids.ts";
import type { SeenSession, SessionView } from "../../../libs/fleet/session-view.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";

/** Undefined means that the record was deleted. */
type SessionListener = (session: SeenSession | undefined) => void;

export interface SessionSubscriptions {
  /** Calls the listener for each change of one session. @returns a function that ends the subscription */
  follow(sessionId: string, listener: SessionListener): () => void;
  /**
   * Resolves when the session satisfies the condition, or after `ms` with the latest state (or undefined). The present
   * state is checked first and no later change is missed.
   */
  until(
    sessionId: string,
    isWanted: (session: SeenSession) => boolean,
    ms: number,
  ): Promise<SeenSession | undefined>;
  /** Ends all waits immediately, like a timeout. */
  stop(): void;
  /** True after `stop`: a wait that ended may have been too short. */
  readonly isStopped: boolean;
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
    const ofSession = listeners.get(key) ?? new Set();
    listeners.set(key, ofSession.add(listener));
    return () => {
      ofSession.delete(listener);
      if (ofSession.size === 0 && listeners.get(key) === ofSession) listeners.delete(key);
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
    get isStopped() {
      return stopped;
    },
  };
}
