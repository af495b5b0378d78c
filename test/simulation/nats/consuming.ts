// Membership of one simulated process in durable consumers.
import type { Stop } from "../../../libs/bus/bus.ts";
import {
  type DeliveryContext,
  processDelivery,
  type RawDelivery,
} from "../../../libs/bus/process-delivery.ts";
import type { Link } from "./connection.ts";
import type { Member, MemoryConsumer } from "./consumer.ts";
import type { Requests } from "./requests.ts";
import type { DeadLettering, MemoryWorld } from "./shared.ts";

export interface Consumption<T> extends Omit<DeliveryContext<T>, "deadLetter" | "log" | "now"> {
  readonly isLeaderless: () => boolean;
  /** Returns the consumer at the server. */
  readonly consumer: () => MemoryConsumer;
}

export class Consuming {
  readonly #world: MemoryWorld;
  readonly #link: Link;
  readonly #requests: Requests;
  readonly #deadLetter: DeadLettering;

  constructor(world: MemoryWorld, link: Link, requests: Requests, deadLetter: DeadLettering) {
    this.#world = world;
    this.#link = link;
    this.#requests = requests;
    this.#deadLetter = deadLetter;
  }

  /** Consumes messages until stopped. */
  async consume<T>(consumption: Consumption<T>): Promise<Stop> {
    const { clock, log } = this.#world;
    const { stream, options, isLeaderless } = consumption;
    const deadLetter = this.#world.changeDeadLettering(this.#deadLetter);
    const context: DeliveryContext<T> = { ...consumption, deadLetter, log, now: () => clock.now() };
    const running = new Set<Promise<void>>();
    let isStopped = false;
    const process = (message: RawDelivery): Promise<void> => {
      if (isStopped) return Promise.resolve();
      const work = processDelivery(message, context).finally(() => running.delete(work));
      running.add(work);
      return work;
    };
    const member: Member = { link: this.#link, concurrency: options.concurrency, process };
    const join = () => {
      const consumer = consumption.consumer();
      consumer.join(member);
      return consumer;
    };
    const next = () => ({ isLeaderless, atServer: join });
    const call = { isWrite: false, isIdempotent: true };
    const consumer = await this.#requests.send(`consuming ${stream}`, next, call);
    return async () => {
      isStopped = true;
      this.#link.send(() => consumer.leave(member), true);
      await Promise.all(running);
    };
  }
}
