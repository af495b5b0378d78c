// Removes what was said in a session as soon as the session is over: nobody will go on from it.
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { conversations, sessions as sessionsBucket } from "../../libs/contracts/buckets.ts";
import type { SessionView } from "../../libs/fleet/session-view.ts";

type Deps = ServiceDeps;

/** A host that hung while its session ended may still write once; this is later than any such write. */
const LOOK_AGAIN_MS = 30_000;
const TRIES = 5;

/**
 * Looks at each session that has ended or whose record was removed, also at those that had before this janitor
 * began: once at once, and once more later.
 *
 * @returns how to stop
 */
export function deleteConversations(deps: Deps, sessions: SessionView): () => void {
  const { clock, log } = deps;
  const seen = new Set<string>();
  const timers = new Set<() => void>();
  let work = Promise.resolve();
  let isStopped = false;
  /** One after the other: a janitor that starts may find the sessions of a whole day. */
  const remove = (key: string) => {
    work = work
      .then(() => (isStopped ? undefined : removeIfOver(deps, key)))
      .catch((error: unknown) =>
        log.debug({ error, key }, "a conversation is left until it is looked at again"),
      );
  };
  const onOver = (key: string) => {
    if (seen.has(key)) return;
    seen.add(key);
    remove(key);
    const cancel = clock.after(LOOK_AGAIN_MS, () => {
      timers.delete(cancel);
      remove(key);
    });
    timers.add(cancel);
  };
  const follow = (state: string | undefined, key: string) => {
    if (state === "ended") onOver(key);
    else if (state === undefined) {
      onOver(key);
      seen.delete(key);
    }
  };
  for (const { key, record } of sessions.all()) follow(record.state, key);
  const stopFollowing = sessions.onChange(({ key, seen }) => follow(seen?.record.state, key));
  return () => {
    isStopped = true;
    stopFollowing();
    for (const cancel of timers) cancel();
  };
}

async function removeIfOver({ bus, log }: Deps, key: string): Promise<void> {
  for (let tries = 0; tries < TRIES; tries++) {
    const [left, session] = [await bus.kv.get(conversations, key), await bus.kv.get(sessionsBucket, key)];
    if (left === undefined || (session !== undefined && session.value.state !== "ended")) return;
    if (!(await bus.kv.delete(conversations, key, left.revision))) continue; // It was written meanwhile.
    log.debug({ key }, "what was said in a session that is over is removed");
    return;
  }
}
