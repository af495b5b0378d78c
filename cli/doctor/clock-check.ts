// Checks whether the clocks of NATS and LiveKit agree with this machine's. Room tokens and readers of logs need that.
import { check, type Finding, failure, ok, skipped, warning } from "./check.ts";
import type { Sources } from "./sources.ts";

export interface ClockFacts {
  readonly who: "NATS" | "LiveKit";
  /** How far the server's clock is ahead, in ms, and the error of that measurement. */
  readonly aheadMs: number;
  readonly errorMs: number;
}

export const clocksCheck = check({
  name: "clocks",
  title: "clocks",
  timeoutMs: 10_000,
  todo: "Check that NATS and LiveKit answer.",
  observe: async ({ livekit, config, monitorUrl }: Sources, signal): Promise<ClockFacts[]> => {
    const found: ClockFacts[] = [];
    const ask = async (
      who: ClockFacts["who"],
      url: string,
      read: (response: Response) => Promise<Reading>,
    ) => {
      const fromMs = Date.now();
      const response = await fetch(url, { signal }).catch(() => undefined);
      const toMs = Date.now();
      const reading = response === undefined ? undefined : await read(response).catch(() => undefined);
      if (reading === undefined || Number.isNaN(reading.atMs)) return;
      found.push({
        who,
        aheadMs: reading.atMs + reading.roundedMs / 2 - (fromMs + toMs) / 2,
        errorMs: (toMs - fromMs + reading.roundedMs) / 2,
      });
    };
    if (livekit !== undefined && !config.LIVEKIT_MOCK_MODE) {
      await ask("LiveKit", livekit.url.replace(/^ws/, "http"), dateHeader);
    }
    if (monitorUrl !== undefined) await ask("NATS", `${monitorUrl}/varz`, nowOfVarz);
    return found;
  },
  judge: (seen: readonly ClockFacts[]) =>
    seen.length === 0
      ? [skipped("Neither NATS's monitoring port nor LiveKit reported its time.")]
      : seen.map(clockFinding),
});

interface Reading {
  readonly atMs: number;
  /** Resolution of the reading, which is rounded down. */
  readonly roundedMs: number;
}

const dateHeader = async (response: Response): Promise<Reading> => ({
  atMs: Date.parse(response.headers.get("date") ?? ""),
  roundedMs: 1000,
});

const nowOfVarz = async (response: Response): Promise<Reading> => ({
  atMs: Date.parse(String(((await response.json()) as { now?: unknown }).now)),
  roundedMs: 0,
});

/** An agent's token is valid for 60 s. LiveKit tolerates one minute after that, and nothing before. */
const TOKENS_FAIL_MS = 60_000;
const NOTICED_MS = 5000;

function clockFinding({ who, aheadMs, errorMs }: ClockFacts): Finding {
  const offMs = Math.max(0, Math.abs(aheadMs) - errorMs);
  const offset = `${(offMs / 1000).toFixed(1)} s ${aheadMs > 0 ? "ahead of" : "behind"} this machine's`;
  if (offMs < NOTICED_MS) return ok(`${who}'s clock agrees with this machine's.`);
  const todo = "Synchronize both machines by NTP (timedatectl shows the state).";
  if (who === "LiveKit" && offMs >= TOKENS_FAIL_MS) {
    return failure(`LiveKit's clock is ${offset}, so LiveKit rejects Greenroom's tokens.`, todo);
  }
  return warning(`${who}'s clock is ${offset}. Times in histories and logs can't be compared.`, todo);
}
