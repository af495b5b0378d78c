// The connections that stay open (SSE, WebSocket), so that a stop can end each with a reason.

export interface OpenStreams {
  /** @returns what to call when it has ended by itself */
  add(close: () => void): () => void;
  count(): number;
  closeAll(): void;
}

export function openStreams(): OpenStreams {
  const open = new Set<() => void>();
  return {
    add(close) {
      const entry = () => close();
      open.add(entry);
      return () => open.delete(entry);
    },
    count: () => open.size,
    closeAll() {
      for (const close of [...open]) close();
      open.clear();
    },
  };
}
