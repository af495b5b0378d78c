// How our streams and buckets stand, and what waits in them for whom.
import type { JetStreamManager } from "nats";
import { allBuckets } from "../../contracts/buckets.ts";
import { allChannels } from "../../contracts/streams.ts";
import type { StorageStats } from "../bus.ts";

/** All streams come in one answer, so only those that somebody takes from cost another question. */
export async function storageStats(manager: JetStreamManager): Promise<StorageStats[]> {
  const found: StorageStats[] = [];
  for await (const { config, state } of manager.streams.list()) {
    const name = ours.get(config.name);
    if (name === undefined) continue;
    const consumers = state.consumer_count > 0 ? await consumersOf(manager, config.name) : [];
    found.push({
      name,
      messages: state.messages,
      bytes: state.bytes,
      maxBytes: Math.max(0, config.max_bytes),
      consumers,
    });
  }
  return found;
}

const ours = new Map<string, string>([
  ...allChannels.map(({ stream }) => [stream, stream] as const),
  ...allBuckets.map(({ name }) => [`KV_${name}`, name] as const),
]);

async function consumersOf(manager: JetStreamManager, stream: string): Promise<StorageStats["consumers"]> {
  const found: StorageStats["consumers"][number][] = [];
  for await (const { config, num_pending: pending, num_ack_pending: inHand } of manager.consumers.list(
    stream,
  )) {
    // The others belong to who watches or reads a page, and go with them.
    if (config.durable_name !== undefined) found.push({ durable: config.durable_name, pending, inHand });
  }
  return found;
}
