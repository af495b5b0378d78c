// One simulated process's share of a durable consumer's work.
import type { ConsumeOptions, Delivery, Stop, Verdict } from "../../../libs/bus/bus.ts";
import { processDelivery, type RawDelivery } from "../../../libs/bus/process-delivery.ts";
import type { Link } from "./connection.ts";
import type { Member, MemoryConsumer } from "./consumer.ts";
import type { Asking } from "./requests.ts";
import type { Bury, MemoryWorld } from "./shared.ts";

export interface SharedWork<T> {
  /** The name of the stream that it comes from. */
  readonly stream: string;
  readonly read: (message: RawDelivery) => T;
  readonly options: ConsumeOptions;
  readonly handle: (message: T, delivery: Delivery) => Promise<Verdict>;
  readonly bury: Bury;
  readonly isLeaderless: () => boolean;
  /** The consumer at the server. */
  readonly consumer: () => MemoryConsumer;
}

/** Takes part in it until stopped. */
export async function takeFrom<T>(
  { clock, log }: MemoryWorld,
  link: Link,
  asking: Asking,
  work: SharedWork<T>,
): Promise<Stop> {
  const { stream, options, isLeaderless } = work;
  const settling = { ...work, log, now: () => clock.now() };
  const running = new Set<Promise<void>>();
  let isStopped = false;
  const take = (message: RawDelivery): Promise<void> => {
    if (isStopped) return Promise.resolve();
    const settled = processDelivery(message, settling).finally(() => running.delete(settled));
    running.add(settled);
    return settled;
  };
  const member: Member = { link, concurrency: options.concurrency, take };
  const join = () => {
    const consumer = work.consumer();
    consumer.join(member);
    return consumer;
  };
  const next = () => ({ isLeaderless, atServer: join });
  const consumer = await asking.ask(`consuming ${stream}`, next, { isWrite: false, mayRepeat: true });
  return async () => {
    isStopped = true;
    link.send(() => consumer.leave(member), true);
    await Promise.all(running);
  };
}
