// Polls LiveKit for the participants of one room, and measures how long they were there.
import type { Rooms } from "../../../libs/livekit/rooms.ts";

/** One poll. Times are performance.now(); everyone listed was present at some moment between them. */
export interface Look {
  readonly fromMs: number;
  readonly toMs: number;
  readonly identities: readonly string[];
}

export interface RoomLooks {
  readonly looks: readonly Look[];
  /** Ends the polling. @throws the error that LiveKit answered */
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
  // Only `stop` throws the error.
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
 * The longest time in ms over which consecutive polls listed both participants. They were together for at least this
 * time, and for at most one pause between polls longer at either end.
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

/** The time of the last poll that listed a participant, undefined if none did. */
export const lastSeenMs = (looks: readonly Look[], identity: string): number | undefined =>
  looks.findLast(({ identities }) => identities.includes(identity))?.fromMs;

/** The longest time between the starts of two polls. Anything shorter may go unseen. */
export const longestPauseMs = (looks: readonly Look[]): number =>
  Math.max(0, ...looks.slice(1).map(({ toMs }, index) => toMs - (looks[index]?.fromMs ?? toMs)));
