// The overflow stream of a channel: takes messages while the channel's stream has no leader, and forwards them later.
import type { Channel } from "../contracts/streams.ts";
import type { Bus, Stop } from "./bus.ts";
import { OVERFLOW_AFTER_MS } from "./delivery-rules.ts";

/** The durable consumer that the forwarding processes share. */
const DURABLE = "overflow";
const CONCURRENCY = 64;

/**
 * Picks the stream for the next attempt to store a message. The channel's own stream comes first; once it has not
 * answered for a while, the overflow stream takes turns with it. If both store a message, forwarding removes the
 * duplicate by its id.
 *
 * @returns a function of the time since the first attempt, in ms
 */
export function pickStream<T>(channel: Channel<T>): (triedMs: number) => Channel<T> {
  let isOverflowNext = false;
  return (triedMs) => {
    if (channel.overflow === undefined || triedMs < OVERFLOW_AFTER_MS) return channel;
    isOverflowNext = !isOverflowNext;
    return isOverflowNext ? channel.overflow : channel;
  };
}

/** Translates a subject pattern of a channel into the one of its overflow stream. */
export function overflowFilter<T>(channel: Channel<T>, overflow: Channel<T>, filter: string): string {
  const [before, after] = overflow.subjects.split(channel.subjects);
  return `${before ?? ""}${filter}${after ?? ""}`;
}

/**
 * Forwards the messages of a channel's overflow stream as soon as its own stream has a leader. Their publishers
 * have an acknowledgement already, so forwarding never gives up.
 */
export async function forward<T>(bus: Bus, channel: Channel<T>): Promise<Stop> {
  const { overflow, ...own } = channel;
  if (overflow === undefined) return async () => {};
  const options = {
    durable: DURABLE,
    description: `Forwards to ${own.stream}.`,
    concurrency: CONCURRENCY,
    maxDeliveries: Number.POSITIVE_INFINITY,
  };
  return await bus.streams.consume(overflow, options, async (message) => {
    await bus.streams.publish(own, message);
    return "ack";
  });
}
