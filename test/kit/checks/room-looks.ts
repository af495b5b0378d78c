// Looks into one room again and again: who was there when, by LiveKit's own word.
import type { Rooms } from "../../../libs/livekit/rooms.ts";

/** One look; times are performance.now(). Who is listed was there at some moment in between. */
export interface Look {
  readonly fromMs: number;
  readonly toMs: number;
  readonly identities: readonly string[];
}

export interface RoomLooks {
  readonly looks: readonly Look[];
  /** Ends the looking. @throws what LiveKit answered instead of a list */
  stop(): Promise<void>;
}

const EVERY_MS = 100;

export function lookInto(rooms: Rooms, room: string): RoomLooks {
  const looks: Look[] = [];
  let isOver = false;
  const looking = (async () => {
    while (!isOver) {
      const fromMs = performance.now();
      const identities = (await rooms.participants(room)).map(({ identity }) => identity);
      looks.push({ fromMs, toMs: performance.now(), identities });
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  })();
  // It is thrown by `stop`, and by nothing else.
  looking.catch(() => {});
  return {
    looks,
    async stop() {
      isOver = true;
      await looking;
    },
  };
}

/**
 * The longest time from one look at which both were there to the last one in a row, in ms: they were together
 * for at least so long, and for at most one pause between looks longer at either end.
 */
export function longestTogether(looks: readonly Look[], one: string, other: string): number {
  let longestMs = 0;
  let sinceMs: number | undefined;
  for (const { fromMs, toMs, identities } of looks) {
    if (!identities.includes(one) || !identities.includes(other)) {
      sinceMs = undefined;
      continue;
    }
    sinceMs ??= toMs;
    longestMs = Math.max(longestMs, fromMs - sinceMs);
  }
  return longestMs;
}

/** When somebody was last seen, undefined for never. */
export const lastSeenMs = (looks: readonly Look[], identity: string): number | undefined =>
  looks.findLast(({ identities }) => identities.includes(identity))?.fromMs;

/** The longest time between the beginnings of two looks: what happens in between may go unseen. */
export const longestPauseMs = (looks: readonly Look[]): number =>
  Math.max(0, ...looks.slice(1).map(({ toMs }, index) => toMs - (looks[index]?.fromMs ?? toMs)));
