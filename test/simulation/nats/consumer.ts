// A durable consumer of the memory server: assigns messages to members and redelivers them.

import { ACK_WAIT_MS } from "../../../libs/bus/delivery-rules.ts";
import type { RawDelivery } from "../../../libs/bus/process-delivery.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Link } from "./connection.ts";
import type { Fates } from "./faults.ts";

export interface StoredMessage {
  readonly sequence: number;
  readonly subject: string;
  readonly data: Uint8Array;
  /** True for the delete marker of a key. */
  readonly isDeleteMarker?: true;
}

/** The stored messages on the consumer's subjects. */
export interface Source {
  /** The first message after a sequence. */
  after(sequence: number): StoredMessage | undefined;
  countAfter(sequence: number): number;
  /** Whether the message is still stored; a removed message isn't redelivered. */
  has(sequence: number): boolean;
}

/** One process that shares the work. */
export interface Member {
  readonly link: Link;
  readonly concurrency: number;
  /** Handles one delivery in the member's process; resolves when the handler is done. */
  readonly process: (message: RawDelivery) => Promise<void>;
}

/** A delivery. The server waits for an ack or nak of a message's newest delivery, and accepts acks of older ones. */
interface Held {
  readonly message: StoredMessage;
  readonly deliveries: number;
  readonly link: Link;
  readonly sentAtMs: number;
  isInProgress: boolean;
  cancel: () => void;
}

type Ready = Pick<Held, "message" | "deliveries">;

export class MemoryConsumer {
  readonly #source: Source;
  readonly #clock: Clock;
  readonly #fates: Fates;
  readonly #isLeaderless: () => boolean;
  readonly #members = new Map<Member, { inProgress: number }>();
  /** The newest delivery of each unacked message, by its sequence. */
  readonly #held = new Map<number, Held>();
  /** Messages to be redelivered, by sequence. */
  readonly #ready = new Map<number, Ready>();
  #lastDelivered = 0;

  constructor(source: Source, clock: Clock, fates: Fates, isLeaderless: () => boolean) {
    this.#source = source;
    this.#clock = clock;
    this.#fates = fates;
    this.#isLeaderless = isLeaderless;
  }

  join(member: Member): void {
    this.#members.set(member, { inProgress: 0 });
    member.link.whenGone(() => this.leave(member));
    member.link.whenBack(() => this.handOut());
    this.handOut();
  }

  leave(member: Member): void {
    this.#members.delete(member);
  }

  /** Messages that were delivered and not acked, including those that wait for redelivery. */
  unacked(): number {
    return this.#held.size + this.#ready.size;
  }

  /** Messages that were never delivered. */
  pending(): number {
    return this.#source.countAfter(this.#lastDelivered);
  }

  /** Delivers available messages to members with free capacity. */
  handOut(): void {
    if (this.#isLeaderless()) return;
    for (;;) {
      const free = this.#freeMembers();
      if (free.length === 0) return;
      const next = this.#takeNext();
      if (next === undefined) return;
      this.#send(this.#fates.pick(free), next);
    }
  }

  #freeMembers(): Member[] {
    const free: Member[] = [];
    for (const [member, { inProgress }] of this.#members) {
      if (inProgress < member.concurrency && member.link.mayBeSentMessages()) free.push(member);
    }
    return free;
  }

  #takeNext(): Ready | undefined {
    for (const [sequence, ready] of this.#ready) {
      this.#ready.delete(sequence);
      if (!this.#source.has(sequence)) continue;
      return { message: ready.message, deliveries: ready.deliveries + 1 };
    }
    const message = this.#source.after(this.#lastDelivered);
    if (message === undefined) return undefined;
    this.#lastDelivered = message.sequence;
    return { message, deliveries: 1 };
  }

  #send(member: Member, { message, deliveries }: Ready): void {
    const { link } = member;
    const held: Held = {
      message,
      deliveries,
      link,
      sentAtMs: this.#clock.monotonic(),
      isInProgress: true,
      cancel: () => {},
    };
    this.#held.set(message.sequence, held);
    this.#awaitAck(held, ACK_WAIT_MS);
    this.#give(member, held);
  }

  #give(member: Member, held: Held): void {
    const load = this.#members.get(member) ?? { inProgress: 0 };
    load.inProgress += 1;
    const release = () => {
      load.inProgress -= 1;
      held.isInProgress = false;
    };
    const take = async () => {
      await member.process(this.#delivery(member.link, held));
      release();
      member.link.send(() => this.handOut());
    };
    member.link.deliver(() => void take(), release);
  }

  /** The delivery in the handler's process; its acks and naks first travel to the server. */
  #delivery(link: Link, held: Held): RawDelivery {
    const { message, deliveries } = held;
    return {
      subject: message.subject,
      sequence: message.sequence,
      data: message.data,
      isDeleteMarker: message.isDeleteMarker ?? false,
      deliveries,
      ack: () => link.send(() => this.#ack(held)),
      nak: (ms) => link.send(() => this.#nak(held, ms)),
      term: () => link.send(() => this.#term(held)),
    };
  }

  #ack(held: Held): void {
    if (this.#isLeaderless() || this.#fates.strikes("loseAck")) return;
    this.#finish(held.message.sequence);
    if (this.#fates.strikes("repeat")) {
      this.#clock.after(this.#fates.between(0, ACK_WAIT_MS), () => this.#deliverDuplicate(held));
    }
  }

  /** Plays a delivery that was in transit when its message was acked: its ack or nak is ignored. */
  #deliverDuplicate({ message, deliveries, sentAtMs }: Held): void {
    const members = this.#freeMembers();
    if (members.length === 0) return;
    const member = this.#fates.pick(members);
    const ghost = { message, deliveries: deliveries + 1, link: member.link, sentAtMs };
    this.#give(member, { ...ghost, isInProgress: true, cancel: () => {} });
  }

  #finish(sequence: number): void {
    this.#held.get(sequence)?.cancel();
    this.#held.delete(sequence);
    this.#ready.delete(sequence);
    this.handOut();
  }

  #term(held: Held): void {
    if (!this.#isLeaderless()) this.#finish(held.message.sequence);
  }

  #nak(held: Held, ms: number): void {
    if (this.#isLeaderless()) return;
    // The message has been redelivered to another member since.
    if (this.#held.get(held.message.sequence) !== held) return;
    held.cancel();
    held.cancel = this.#clock.after(ms, () => this.#redeliver(held));
  }

  /**
   * Redelivers a message after the ack wait has passed without a sign of progress. The progress reports of
   * every two seconds are not simulated; instead, the end of the wait checks when the last one was possible.
   */
  #awaitAck(held: Held, ms: number): void {
    held.cancel = this.#clock.after(ms, () => {
      const now = this.#clock.monotonic();
      const isWorking = held.isInProgress && held.link.isHeard();
      const lastMs = isWorking ? now : held.link.lastSignOfLifeMs(held.sentAtMs);
      const leftMs = held.isInProgress ? lastMs + ACK_WAIT_MS - now : 0;
      if (leftMs >= 1) this.#awaitAck(held, leftMs);
      else this.#redeliver(held);
    });
  }

  #redeliver(held: Held): void {
    const { message, deliveries } = held;
    this.#held.delete(message.sequence);
    this.#ready.set(message.sequence, { message, deliveries });
    this.handOut();
  }
}
