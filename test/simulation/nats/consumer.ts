// A durable consumer of the memory server: who holds which message, and when it comes again.

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

/** What is stored on the subjects that this consumer is for. */
export interface Source {
  /** The first one after a sequence. */
  after(sequence: number): StoredMessage | undefined;
  countAfter(sequence: number): number;
  /** Whether it is stored still: what is gone isn't delivered again. */
  has(sequence: number): boolean;
}

/** One process that shares the work. */
export interface Member {
  readonly link: Link;
  readonly concurrency: number;
  /** Handles one delivery in that process; answers when its handler has come to an end. */
  readonly process: (message: RawDelivery) => Promise<void>;
}

/** One delivery: of the newest one of a message the server awaits word, of older ones it takes acks. */
interface Held {
  readonly message: StoredMessage;
  readonly deliveries: number;
  readonly link: Link;
  readonly sentAtMs: number;
  isAtWork: boolean;
  cancel: () => void;
}

type Ready = Pick<Held, "message" | "deliveries">;

export class MemoryConsumer {
  readonly #source: Source;
  readonly #clock: Clock;
  readonly #fates: Fates;
  readonly #isLeaderless: () => boolean;
  readonly #members = new Map<Member, { inHand: number }>();
  /** The newest delivery of each message that was handed out and not settled, by its sequence. */
  readonly #held = new Map<number, Held>();
  /** To be delivered again, by sequence. */
  readonly #ready = new Map<number, Ready>();
  #handedOutUpTo = 0;

  constructor(source: Source, clock: Clock, fates: Fates, isLeaderless: () => boolean) {
    this.#source = source;
    this.#clock = clock;
    this.#fates = fates;
    this.#isLeaderless = isLeaderless;
  }

  join(member: Member): void {
    this.#members.set(member, { inHand: 0 });
    member.link.whenGone(() => this.leave(member));
    member.link.whenBack(() => this.handOut());
    this.handOut();
  }

  leave(member: Member): void {
    this.#members.delete(member);
  }

  /** Messages that were handed out and not acked, those that wait for another try included. */
  unacked(): number {
    return this.#held.size + this.#ready.size;
  }

  /** Messages that were never handed out. */
  pending(): number {
    return this.#source.countAfter(this.#handedOutUpTo);
  }

  /** Gives what there is to those who have a hand free. */
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
    for (const [member, { inHand }] of this.#members) {
      if (inHand < member.concurrency && member.link.mayBeSentMessages()) free.push(member);
    }
    return free;
  }

  #takeNext(): Ready | undefined {
    for (const [sequence, ready] of this.#ready) {
      this.#ready.delete(sequence);
      if (!this.#source.has(sequence)) continue;
      return { message: ready.message, deliveries: ready.deliveries + 1 };
    }
    const message = this.#source.after(this.#handedOutUpTo);
    if (message === undefined) return undefined;
    this.#handedOutUpTo = message.sequence;
    return { message, deliveries: 1 };
  }

  #send(member: Member, { message, deliveries }: Ready): void {
    const { link } = member;
    const held: Held = {
      message,
      deliveries,
      link,
      sentAtMs: this.#clock.monotonic(),
      isAtWork: true,
      cancel: () => {},
    };
    this.#held.set(message.sequence, held);
    this.#awaitAck(held, ACK_WAIT_MS);
    this.#give(member, held);
  }

  #give(member: Member, held: Held): void {
    const load = this.#members.get(member) ?? { inHand: 0 };
    load.inHand += 1;
    const release = () => {
      load.inHand -= 1;
      held.isAtWork = false;
    };
    const take = async () => {
      await member.process(this.#delivery(member.link, held));
      release();
      member.link.send(() => this.handOut());
    };
    member.link.deliver(() => void take(), release);
  }

  /** What the handler's process holds: each word of it travels to the server first. */
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
    this.#settled(held.message.sequence);
    if (this.#fates.strikes("repeat")) {
      this.#clock.after(this.#fates.between(0, ACK_WAIT_MS), () => this.#sendAgain(held));
    }
  }

  /** A delivery that was on its way when its message was acked: nothing that is said of it counts. */
  #sendAgain({ message, deliveries, sentAtMs }: Held): void {
    const members = this.#freeMembers();
    if (members.length === 0) return;
    const member = this.#fates.pick(members);
    const ghost = { message, deliveries: deliveries + 1, link: member.link, sentAtMs };
    this.#give(member, { ...ghost, isAtWork: true, cancel: () => {} });
  }

  #settled(sequence: number): void {
    this.#held.get(sequence)?.cancel();
    this.#held.delete(sequence);
    this.#ready.delete(sequence);
    this.handOut();
  }

  #term(held: Held): void {
    if (!this.#isLeaderless()) this.#settled(held.message.sequence);
  }

  #nak(held: Held, ms: number): void {
    if (this.#isLeaderless()) return;
    // A word about a delivery that was given to somebody else in the meantime.
    if (this.#held.get(held.message.sequence) !== held) return;
    held.cancel();
    held.cancel = this.#clock.after(ms, () => this.#deliverAgain(held));
  }

  /**
   * Delivers again when nobody said for the ack wait that it is worked on. The sign of life that a process
   * gives every two seconds is not played: whether it could give it is looked up when the wait is over.
   */
  #awaitAck(held: Held, ms: number): void {
    held.cancel = this.#clock.after(ms, () => {
      const now = this.#clock.monotonic();
      const isWorking = held.isAtWork && held.link.isHeard();
      const lastMs = isWorking ? now : held.link.lastSignOfLifeMs(held.sentAtMs);
      const leftMs = held.isAtWork ? lastMs + ACK_WAIT_MS - now : 0;
      if (leftMs >= 1) this.#awaitAck(held, leftMs);
      else this.#deliverAgain(held);
    });
  }

  #deliverAgain(held: Held): void {
    const { message, deliveries } = held;
    this.#held.delete(message.sequence);
    this.#ready.set(message.sequence, { message, deliveries });
    this.handOut();
  }
}
