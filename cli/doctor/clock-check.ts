// Whether the clocks of NATS and LiveKit agree with ours: no decision needs it, but room tokens do, and so do people.
import { check, type Finding, failure, ok, skipped, warning } from "./check.ts";
import type { Sources } from "./sources.ts";

export interface ClockFacts {
  readonly who: "NATS" | "LiveKit";
  /** How far its clock is before ours, in ms, and how far from that it may be. */
  readonly aheadMs: number;
  readonly giveMs: number;
}

export const clocksCheck = check({
  name: "clocks",
  title: "clocks",
  timeoutMs: 10_000,
  todo: "See that NATS and LiveKit answer.",
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
        giveMs: (toMs - fromMs + reading.roundedMs) / 2,
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
      ? [skipped("Neither NATS's monitoring port nor LiveKit could be asked what time it is.")]
      : seen.map(clockFinding),
});

interface Reading {
  readonly atMs: number;
  /** What it was rounded down by at most. */
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

/** An agent's token lives for 60 s, and LiveKit accepts one for a minute after its time and none before it. */
const TOKENS_FAIL_MS = 60_000;
const NOTICED_MS = 5000;

function clockFinding({ who, aheadMs, giveMs }: ClockFacts): Finding {
  const offMs = Math.max(0, Math.abs(aheadMs) - giveMs);
  const shown = `${(offMs / 1000).toFixed(1)} s ${aheadMs > 0 ? "ahead of" : "behind"} ours`;
  if (offMs < NOTICED_MS) return ok(`${who}'s clock agrees with ours.`);
  const todo = "Let both machines keep their time by NTP (timedatectl shows whether they do).";
  if (who === "LiveKit" && offMs >= TOKENS_FAIL_MS) {
    return failure(`LiveKit's clock is ${shown}: it refuses our tokens.`, todo);
  }
  return warning(`${who}'s clock is ${shown}; times in histories and logs don't fit each other.`, todo);
}
