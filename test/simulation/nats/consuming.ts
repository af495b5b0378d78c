// One simulated process's share of the work of durable consumers.
import type { Stop } from "../../../libs/bus/bus.ts";
import {
  type DeliveryContext,
  processDelivery,
  type RawDelivery,
} from "../../../libs/bus/process-delivery.ts";
import type { Link } from "./connection.ts";
import type { Member, MemoryConsumer } from "./consumer.ts";
import type { Asking } from "./requests.ts";
import type { DeadLettering, MemoryWorld } from "./shared.ts";

export interface SharedWork<T> extends Omit<DeliveryContext<T>, "deadLetter" | "log" | "now"> {
  readonly isLeaderless: () => boolean;
  /** The consumer at the server. */
  readonly consumer: () => MemoryConsumer;
}

export class Consuming {
  readonly #world: MemoryWorld;
  readonly #link: Link;
  readonly #asking: Asking;
  readonly #deadLetter: DeadLettering;

  constructor(world: MemoryWorld, link: Link, asking: Asking, deadLetter: DeadLettering) {
    this.#world = world;
    this.#link = link;
    this.#asking = asking;
    this.#deadLetter = deadLetter;
  }

  /** Takes part in the work until stopped. */
  async consume<T>(work: SharedWork<T>): Promise<Stop> {
    const { clock, log } = this.#world;
    const { stream, options, isLeaderless } = work;
    const deadLetter = this.#world.changeDeadLettering(this.#deadLetter);
    const context: DeliveryContext<T> = { ...work, deadLetter, log, now: () => clock.now() };
    const running = new Set<Promise<void>>();
    let isStopped = false;
    const process = (message: RawDelivery): Promise<void> => {
      if (isStopped) return Promise.resolve();
      const settled = processDelivery(message, context).finally(() => running.delete(settled));
      running.add(settled);
      return settled;
    };
    const member: Member = { link: this.#link, concurrency: options.concurrency, process };
    const join = () => {
      const consumer = work.consumer();
      consumer.join(member);
      return consumer;
    };
    const next = () => ({ isLeaderless, atServer: join });
    const call = { isWrite: false, mayRepeat: true };
    const consumer = await this.#asking.ask(`consuming ${stream}`, next, call);
    return async () => {
      isStopped = true;
      this.#link.send(() => consumer.leave(member), true);
      await Promise.all(running);
    };
  }
}
