// Follows a session's server-sent events and records when a client sees each attempt become ready.
import { until } from "../kit/until.ts";

interface Ready {
  readonly attempt: number;
  /** performance.now() of this process, in ms. */
  readonly atMs: number;
}

export interface Following {
  /** Waits for the first later attempt that is ready. */
  attemptAfter(attempt: number, timeoutMs: number): Promise<Ready>;
  stop(): void;
}

/** Resolves when the stream is open. */
export async function followAttempts(url: string, sessionId: string): Promise<Following> {
  const stop = new AbortController();
  const response = await fetch(`${url}/api/session/${sessionId}/events`, { signal: stop.signal });
  if (response.body === null || !response.ok)
    throw new Error(`the events of ${sessionId} returned ${response.status}`);
  const seen: Ready[] = [];
  read(response.body, seen).catch(() => {});
  return {
    attemptAfter: (attempt, timeoutMs) =>
      until(() => seen.find((ready) => ready.attempt > attempt), {
        timeoutMs,
        everyMs: 5,
        what: `session ${sessionId} is ready in a later attempt than ${attempt}`,
      }),
    stop: () => stop.abort(),
  };
}

async function read(body: ReadableStream<Uint8Array>, seen: Ready[]): Promise<void> {
  let rest = "";
  for await (const part of body.pipeThrough(new TextDecoderStream())) {
    const atMs = performance.now();
    const lines = (rest + part).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const { state, attempt } = JSON.parse(line.slice("data:".length)) as {
        state?: string;
        attempt?: number;
      };
      if (state === "ready" && attempt !== undefined) seen.push({ attempt, atMs });
    }
  }
}
