// Deletes the conversation of a session once the session has ended, since no agent will resume it.
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { conversations, sessions as sessionsBucket } from "../../libs/contracts/buckets.ts";
import type { SessionView } from "../../libs/fleet/session-view.ts";

/** The pause before the second deletion. A host that hung during the end may still have written once by then. */
const LOOK_AGAIN_MS = 30_000;
const TRIES = 5;

/**
 * Deletes the conversations of ended and removed sessions, including those that ended before this janitor started. Each
 * one is deleted at once, and again later.
 *
 * @returns a function that stops it
 */
export function deleteConversations(deps: ServiceDeps, sessions: SessionView): () => void {
  const { clock, log } = deps;
  const seen = new Set<string>();
  const timers = new Set<() => void>();
  let work = Promise.resolve();
  let isStopped = false;
  /** One at a time: a janitor that starts may find the sessions of a whole day. */
  const remove = (key: string) => {
    work = work
      .then(() => (isStopped ? undefined : removeIfOver(deps, key)))
      .catch((error: unknown) =>
        log.debug({ error, key, retrying: true }, "failed to delete a conversation"),
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

async function removeIfOver({ bus, log }: ServiceDeps, key: string): Promise<void> {
  for (let tries = 0; tries < TRIES; tries++) {
    const [left, session] = [await bus.kv.get(conversations, key), await bus.kv.get(sessionsBucket, key)];
    if (left === undefined || (session !== undefined && session.value.state !== "ended")) return;
    if (!(await bus.kv.delete(conversations, key, left.revision))) continue; // A write came in between.
    log.debug({ key }, "deleted the conversation of an ended session");
    return;
  }
}
