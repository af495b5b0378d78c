// Polls LiveKit's rooms four times a second, and pings the agents of a room with several.
import { RoomServiceClient } from "livekit-server-sdk";
import { createAskAgent } from "../../../libs/livekit/ask-agent.ts";
import { liveRooms } from "../../../libs/livekit/live-rooms.ts";
import type { Rooms } from "../../../libs/livekit/rooms.ts";
import type { TestLiveKit } from "../../kit/servers/servers.ts";
import type { RoomsSeen, RunMs } from "./evidence.ts";

const EVERY_MS = 250;
const ANSWER_MS = 1000;

type Room = RoomsSeen["rooms"][number];

/** Connects to LiveKit itself, bypassing every proxy. */
export function roomsOf({ url, apiKey, apiSecret }: TestLiveKit): Rooms {
  const api = url.replace(/^ws/, "http");
  const client = new RoomServiceClient(api, apiKey, apiSecret, { requestTimeout: 3 });
  return liveRooms(client, createAskAgent({ api, apiKey, apiSecret }));
}

export class RoomWatch {
  readonly seen: RoomsSeen[] = [];
  readonly #rooms: Rooms;
  readonly #now: () => RunMs;
  #isOver = false;
  readonly #done: Promise<void>;

  constructor(rooms: Rooms, now: () => RunMs) {
    this.#rooms = rooms;
    this.#now = now;
    this.#done = this.#watch();
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#done;
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      try {
        // Taken before the request, so that everyone listed was present at some moment after it.
        const atMs = this.#now();
        const names = (await this.#rooms.list()).map(({ name }) => name);
        this.seen.push({ atMs, rooms: await Promise.all(names.map((name) => this.#lookInto(name))) });
      } catch {
        // LiveKit is unreachable, so this moment is missing.
      }
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  }

  async #lookInto(name: string): Promise<Room> {
    const participants = await this.#rooms.participants(name);
    const agents = participants.filter(({ isAgent }) => isAgent);
    if (agents.length < 2) return { name, participants };
    const answers = new Map<string, boolean>();
    await Promise.all(
      agents.map(async ({ identity }) => {
        const does = await this.#rooms.answers(name, identity, ANSWER_MS).catch(() => undefined);
        if (does !== undefined) answers.set(identity, does);
      }),
    );
    return {
      name,
      participants: participants.map((one) => {
        const does = answers.get(one.identity);
        return does === undefined ? one : { ...one, answers: does };
      }),
    };
  }
}
