// A bus on which several parts of a process share watches of a bucket and subscriptions to a topic.
import { AsyncLocalStorage } from "node:async_hooks";
import type { Bucket } from "../contracts/buckets.ts";
import type { Topic } from "../contracts/streams.ts";
import type { Bus, Change, Stop } from "./bus.ts";
import { overrideBus } from "./override-bus.ts";

type Handle = (message: unknown) => void;

/**
 * Opens each watch and subscription once, decodes each message once, and closes them after the last user has left.
 *
 * The users get the same objects, which are therefore frozen.
 */
export function sharedBus(bus: Bus): Bus {
  // A shared watch must not run in the context of the user that happens to be the first.
  const outside = AsyncLocalStorage.snapshot();
  const watches = new Map<string, SharedFeed>();
  const subscriptions = new Map<string, SharedFeed>();
  return overrideBus(bus, {
    kv: {
      watch<T>(bucket: Bucket<T>, handle: (change: Change<T>) => void): Promise<Stop> {
        return join(watches, bucket.name, () => outside(shareWatch, bus, bucket), handle as Handle);
      },
    },
    core: {
      subscribe<T>(topic: Topic<T>, handle: (message: T) => void): Promise<Stop> {
        return join(subscriptions, topic.subject, () => outside(shareTopic, bus, topic), handle as Handle);
      },
    },
  });
}

/** A user that comes later gets the present entries first, as from a watch of its own. */
function shareWatch<T>(bus: Bus, bucket: Bucket<T>): SharedFeed {
  const entries = new Map<string, Change<T>>();
  return new SharedFeed(
    (take) =>
      bus.kv.watch(bucket, (change) => {
        if (change.value === undefined) entries.delete(change.key);
        else entries.set(change.key, change);
        Object.freeze(change.value);
        take(Object.freeze(change));
      }),
    () => entries.values(),
  );
}

const shareTopic = <T>(bus: Bus, topic: Topic<T>): SharedFeed =>
  new SharedFeed(
    (take) => bus.core.subscribe(topic, (message) => take(Object.freeze(message))),
    () => [],
  );

async function join(
  feeds: Map<string, SharedFeed>,
  name: string,
  open: () => SharedFeed,
  handle: Handle,
): Promise<Stop> {
  const feed = feeds.get(name) ?? open();
  feeds.set(name, feed);
  const forget = () => {
    if (feeds.get(name) === feed) feeds.delete(name);
  };
  const leave = feed.add(handle);
  try {
    await feed.opened;
  } catch (error) {
    forget();
    throw error;
  }
  return async () => {
    leave();
    if (feed.hasUsers) return;
    forget();
    await (await feed.opened)();
  };
}

class SharedFeed {
  readonly opened: Promise<Stop>;
  readonly #users = new Set<{ readonly handle: Handle }>();
  readonly #present: () => Iterable<unknown>;

  constructor(open: (take: Handle) => Promise<Stop>, present: () => Iterable<unknown>) {
    this.#present = present;
    this.opened = open((message) => {
      const errors: unknown[] = [];
      for (const { handle } of [...this.#users]) {
        try {
          handle(message);
        } catch (error) {
          errors.push(error);
        }
      }
      // Thrown after all users have the message: the bus logs it, as for a subscription of one user.
      if (errors.length > 0) throw errors[0];
    });
  }

  get hasUsers(): boolean {
    return this.#users.size > 0;
  }

  add(handle: Handle): () => void {
    const user = { handle };
    this.#users.add(user);
    for (const message of this.#present()) handle(message);
    return () => void this.#users.delete(user);
  }
}
