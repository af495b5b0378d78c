// What the memory server passes on without storing it: announcements, questions and answers.
import type { Link } from "./connection.ts";

/** Answers one question in the process that serves it; `failed` is set when its handler threw. */
export type Answering = (question: Uint8Array) => Promise<{ answer: Uint8Array } | { failed: string }>;

interface Subscription<T> {
  readonly link: Link;
  readonly call: T;
  /** Of those with the same one, one is given each message. */
  readonly queue?: string | undefined;
}

/** Who has subscribed to what. A client that fell silent for long has lost its interest, as on NATS. */
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

/** Those who are given a message: one of each queue, and everybody without one. */
export function addresseesOf<T>(
  subscriptions: readonly Subscription<T>[],
  pick: <I>(items: readonly I[]) => I,
): Subscription<T>[] {
  const queues = new Map<string, Subscription<T>[]>();
  const addressees: Subscription<T>[] = [];
  for (const subscription of subscriptions) {
    const { queue } = subscription;
    if (queue === undefined) addressees.push(subscription);
    else queues.set(queue, [...(queues.get(queue) ?? []), subscription]);
  }
  for (const members of queues.values()) addressees.push(pick(members));
  return addressees;
}
