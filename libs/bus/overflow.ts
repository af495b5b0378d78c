// Where a message goes while its stream has no leader, and how it comes to its stream afterwards.
import type { Channel } from "../contracts/streams.ts";
import type { Bus, Stop } from "./bus.ts";
import { OVERFLOW_AFTER_MS } from "./delivery-rules.ts";

/** The name under which those who hand on share the work. */
const DURABLE = "relief";
const CONCURRENCY = 64;

/**
 * The stream for the next try to store a message: its own; once that has taken nothing for a while, its relief
 * and it by turns. When both took it, the message's id tells it once it is handed on.
 *
 * @returns given for how long it has been tried, in ms, says where to try now
 */
export function pickStream<T>(channel: Channel<T>): (triedMs: number) => Channel<T> {
  let isReliefsTurn = false;
  return (triedMs) => {
    if (channel.overflow === undefined || triedMs < OVERFLOW_AFTER_MS) return channel;
    isReliefsTurn = !isReliefsTurn;
    return isReliefsTurn ? channel.overflow : channel;
  };
}

/** The subjects of the relief on which it takes what belongs on some subjects of its channel. */
export function overflowFilter<T>(channel: Channel<T>, relief: Channel<T>, filter: string): string {
  const [before, after] = relief.subjects.split(channel.subjects);
  return `${before ?? ""}${filter}${after ?? ""}`;
}

/**
 * Hands on what the relief of a channel took, as soon as its own stream takes something again. Whoever stored it
 * was told that it is safe: nothing is given up, however long that takes.
 */
export async function forward<T>(bus: Bus, channel: Channel<T>): Promise<Stop> {
  const { overflow: relief, ...own } = channel;
  if (relief === undefined) return async () => {};
  const options = { durable: DURABLE, concurrency: CONCURRENCY, maxDeliveries: Number.POSITIVE_INFINITY };
  return await bus.consume(relief, options, async (message) => {
    await bus.publish(own, message);
    return "done";
  });
}
