// Core NATS on the memory server: transient messages, requests and replies.
import type { Link } from "./connection.ts";

/** Answers one request in the process that serves it; `failed` is set when its handler threw. */
export type Answering = (request: Uint8Array) => Promise<{ answer: Uint8Array } | { failed: string }>;

interface Subscription<T> {
  readonly link: Link;
  readonly call: T;
  /** The queue group; each message goes to one of its members. */
  readonly queue?: string | undefined;
}

/** The subscriptions by subject. A client that was silent for too long loses its subscriptions, like on NATS. */
export class Subscriptions<T> {
  readonly #bySubject = new Map<string, Set<Subscription<T>>>();

  add(subject: string, link: Link, call: T, queue?: string): () => void {
    const subscription = { link, call, queue };
    const subscriptions = this.#bySubject.get(subject) ?? new Set();
    subscriptions.add(subscription);
    this.#bySubject.set(subject, subscriptions);
    const remove = () => {
      subscriptions.delete(subscription);
    };
    link.whenGone(remove);
    return remove;
  }

  on(subject: string): Subscription<T>[] {
    return [...(this.#bySubject.get(subject) ?? [])].filter(({ link }) => !link.isStale());
  }
}

/** The recipients of a message: one member of each queue group, and every subscription without one. */
export function recipientsOf<T>(
  subscriptions: readonly Subscription<T>[],
  pick: <I>(items: readonly I[]) => I,
): Subscription<T>[] {
  const queues = new Map<string, Subscription<T>[]>();
  const recipients: Subscription<T>[] = [];
  for (const subscription of subscriptions) {
    const { queue } = subscription;
    if (queue === undefined) recipients.push(subscription);
    else queues.set(queue, [...(queues.get(queue) ?? []), subscription]);
  }
  for (const members of queues.values()) recipients.push(pick(members));
  return recipients;
}
