// The connections that stay open (SSE, WebSocket): how many there may be, and a stop that ends each with a reason.
import { GreenroomError } from "../../../libs/contracts/errors.ts";

export interface StreamLimits {
  /** @throws GreenroomError rate_limited when this client, or this gateway, has as many open as it may */
  refuseIfTooMany(client: string): void;
  /** @returns what to call when it has ended by itself */
  add(client: string, close: () => void): () => void;
  count(): number;
  closeAll(): void;
}

const RETRY_MS = 5000;

/** @param limits with a `maxPerClient` of 0 a client may have as many as there are */
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
      const mine = byClient.get(client) ?? 0;
      const isMine = limits.maxPerClient > 0 && mine >= limits.maxPerClient;
      if (!isMine && open.size < limits.max) return;
      throw new GreenroomError(
        "rate_limited",
        isMine
          ? `Your address has ${mine} event streams and WebSockets open, as many as it may. Close one.`
          : `${open.size} event streams and WebSockets are open at this gateway, as many as it keeps.`,
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
