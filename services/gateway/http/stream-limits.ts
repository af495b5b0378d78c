// Limits the number of open event streams and WebSockets, and ends all of them with a reason at a stop.
import { GreenroomError } from "../../../libs/contracts/errors.ts";

export interface StreamLimits {
  /** @throws GreenroomError rate_limited if the client or the gateway has reached its limit */
  refuseIfTooMany(client: string): void;
  /** @returns a function to call when the stream has ended */
  add(client: string, close: () => void): () => void;
  count(): number;
  closeAll(): void;
}

const RETRY_MS = 5000;

/** @param limits a `maxPerClient` of 0 means no limit for each client */
export function createStreamLimits(limits: {
  readonly max: number;
  readonly maxPerClient: number;
}): StreamLimits {
  const open = new Set<() => void>();
  const byClient = new Map<string, number>();
  const count = (client: string, change: number) => {
    const now = (byClient.get(client) ?? 0) + change;
    if (now > 0) byClient.set(client, now);
    else byClient.delete(client);
  };
  return {
    refuseIfTooMany(client) {
      const ofClient = byClient.get(client) ?? 0;
      const exceedsOwn = limits.maxPerClient > 0 && ofClient >= limits.maxPerClient;
      if (!exceedsOwn && open.size < limits.max) return;
      throw new GreenroomError(
        "rate_limited",
        exceedsOwn
          ? `Your address has ${ofClient} open event streams and WebSockets, the maximum. Close one.`
          : `This gateway has ${open.size} open event streams and WebSockets, the maximum.`,
        { retryAfterMs: RETRY_MS },
      );
    },
    add(client, close) {
      const entry = () => close();
      open.add(entry);
      count(client, 1);
      return () => {
        if (open.delete(entry)) count(client, -1);
      };
    },
    count: () => open.size,
    closeAll() {
      for (const close of [...open]) close();
    },
  };
}
