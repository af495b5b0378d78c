// Streams of the memory server: stored messages, and the durable consumers that deliver them.

import { DUPLICATE_IN_FLIGHT, STORE_FULL } from "../../../libs/bus/jetstream-errors.ts";
import { allChannels, type Channel } from "../../../libs/contracts/streams.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import { MemoryConsumer, type StoredMessage } from "./consumer.ts";
import type { Fates } from "./faults.ts";
import { ApiError, type Replicas, Replication } from "./replication.ts";

/** A stream without limits of age or size, since no simulation runs for days; a full stream is a fault. */
export class MemoryStream {
  readonly #channel: Channel<never>;
  readonly #clock: Clock;
  readonly #fates: Fates;
  readonly #dedupeMs: number;
  #messages: StoredMessage[] = [];
  #lastSequence = 0;
  readonly #perSubject = new Map<string, number>();
  /** Message ids in storage order, each with its time. */
  readonly #ids = new Map<string, number>();
  readonly #consumers = new Map<string, MemoryConsumer>();

  readonly #replication: Replication;

  /** Whether this is another stream's overflow stream, whose leader is on another node. */
  readonly isOverflow: boolean;

  constructor(channel: Channel<never>, replicas: Replicas, clock: Clock, fates: Fates, dedupeMs: number) {
    this.#replication = new Replication(replicas, clock, fates);
    this.#channel = channel;
    this.isOverflow = allChannels.some(({ overflow }) => overflow?.stream === channel.stream);
    this.#clock = clock;
    this.#fates = fates;
    this.#dedupeMs = dedupeMs;
  }

  /** @throws ApiError */
  append(
    subject: string,
    data: Uint8Array,
    id: string | undefined,
  ): { duplicate: boolean } | Promise<{ duplicate: boolean }> {
    if (id !== undefined) {
      this.#expireIds();
      if (this.#ids.has(id)) {
        this.#fates.count("duplicate");
        return { duplicate: true };
      }
      if (this.#replication.isInFlight(id)) {
        this.#fates.count("refused for a message in flight");
        throw new ApiError(DUPLICATE_IN_FLIGHT);
      }
    }
    if (this.#fates.faults().full && this.#channel.discard === "refuse") {
      this.#fates.count("full");
      throw new ApiError(STORE_FULL);
    }
    return this.#replication.write(id ?? "", () => this.#store(subject, data, id));
  }

  isLeaderless(): boolean {
    const { leaderless, overflowLeads } = this.#fates.faults();
    return leaderless && !(overflowLeads && this.isOverflow);
  }

  /** Starts an election; each write in flight is completed or lost. */
  loseLeader(): void {
    this.#replication.loseLeader();
  }

  /** Ends an election. */
  leads(): void {
    for (const consumer of this.#consumers.values()) consumer.handOut();
  }

  #store(subject: string, data: Uint8Array, id: string | undefined): { duplicate: boolean } {
    if (id !== undefined) this.#ids.set(id, this.#clock.monotonic());
    if (this.isOverflow) this.#fates.count("overflowed");
    this.#lastSequence += 1;
    this.#messages.push({ sequence: this.#lastSequence, subject, data });
    this.#trimSubject(subject);
    for (const consumer of this.#consumers.values()) consumer.handOut();
    return { duplicate: false };
  }

  /** Returns the consumer with this name; a new one starts at the first stored message on the subjects. */
  consumer(durable: string, subjects: string): MemoryConsumer {
    let consumer = this.#consumers.get(durable);
    if (consumer === undefined) {
      const source = {
        after: (sequence: number) => this.#after(sequence, subjects),
        countAfter: (sequence: number) => this.matching(subjects, sequence).length,
        has: (sequence: number) => this.#messages[this.#indexAfter(sequence - 1)]?.sequence === sequence,
      };
      consumer = new MemoryConsumer(source, this.#clock, this.#fates, () => this.isLeaderless());
      this.#consumers.set(durable, consumer);
    }
    return consumer;
  }

  /** The messages that match a pattern and follow a sequence, oldest first. */
  matching(pattern: string, after = 0): StoredMessage[] {
    return this.#messages
      .slice(this.#indexAfter(after))
      .filter(({ subject }) => subjectMatches(pattern, subject));
  }

  /** Removes the messages that match a pattern. @returns the number of removed messages */
  purge(pattern: string): number | Promise<number> {
    return this.#replication.write(`purging ${pattern}`, () => {
      const before = this.#messages.length;
      this.#messages = this.#messages.filter(({ subject }) => {
        const isGone = subjectMatches(pattern, subject);
        if (isGone) this.#perSubject.delete(subject);
        return !isGone;
      });
      return before - this.#messages.length;
    });
  }

  /** Removes one message. @returns whether it existed */
  delete(sequence: number): boolean | Promise<boolean> {
    return this.#replication.write(`deleting ${sequence}`, () => {
      const index = this.#indexAfter(sequence - 1);
      const message = this.#messages[index];
      if (message?.sequence !== sequence) return false;
      this.#messages.splice(index, 1);
      const left = (this.#perSubject.get(message.subject) ?? 1) - 1;
      if (left > 0) this.#perSubject.set(message.subject, left);
      else this.#perSubject.delete(message.subject);
      return true;
    });
  }

  #after(sequence: number, subjects: string): StoredMessage | undefined {
    for (let index = this.#indexAfter(sequence); index < this.#messages.length; index++) {
      const message = this.#messages[index] as StoredMessage;
      if (subjectMatches(subjects, message.subject)) return message;
    }
    return undefined;
  }

  /** The index of the first message after a sequence. */
  #indexAfter(sequence: number): number {
    // While no message was removed, the index equals the sequence.
    if (this.#messages.length === this.#lastSequence) return sequence;
    let [low, high] = [0, this.#messages.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#messages[middle] as StoredMessage).sequence > sequence) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #expireIds(): void {
    const before = this.#clock.monotonic() - this.#dedupeMs;
    for (const [id, atMs] of this.#ids) {
      if (atMs > before) return;
      this.#ids.delete(id);
    }
  }

  #trimSubject(subject: string): void {
    const { maxPerSubject } = this.#channel;
    if (maxPerSubject === undefined) return;
    const stored = (this.#perSubject.get(subject) ?? 0) + 1;
    if (stored > maxPerSubject) {
      const oldest = this.#messages.findIndex((message) => message.subject === subject);
      this.#messages.splice(oldest, 1);
    } else this.#perSubject.set(subject, stored);
  }
}

/** Matches a subject against NATS wildcards: `*` is one token, `>` is one or more tokens at the end. */
export function subjectMatches(pattern: string, subject: string): boolean {
  if (pattern === subject) return true;
  const wanted = pattern.split(".");
  const tokens = subject.split(".");
  for (const [index, token] of wanted.entries()) {
    if (token === ">") return tokens.length > index;
    if (token !== "*" && token !== tokens[index]) return false;
    if (tokens[index] === undefined) return false;
  }
  return wanted.length === tokens.length;
}
