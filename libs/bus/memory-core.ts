// What the memory server passes on without storing it: announcements, questions and answers.
import type { Link } from "./memory-link.ts";

/** Answers one question in the process that serves it; `failed` is set when its handler threw. */
export type Answering = (question: Uint8Array) => Promise<{ answer: Uint8Array } | { failed: string }>;

interface Subscription<T> {
  readonly link: Link;
  readonly call: T;
}

/** Who has subscribed to what. A client that fell silent for long has lost its interest, as on NATS. */
export class Subscriptions<T> {
  readonly #bySubject = new Map<string, Set<Subscription<T>>>();

  add(subject: string, link: Link, call: T): () => void {
    const subscription = { link, call };
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
