// Reads the newest messages on a subject, and returns them oldest first.
import type { Bus } from "../../libs/bus/bus.ts";
import type { Channel } from "../../libs/contracts/streams.ts";

export async function messagesOn<T>(
  bus: Bus,
  channel: Channel<T>,
  subject: string,
  limit: number,
): Promise<T[]> {
  const found = await bus.streams.read(channel, { subject, limit, order: "newest-first" });
  return found.map(({ message }) => message).reverse();
}
