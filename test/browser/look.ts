// What the browser tests look at beside the page: the API's word, LiveKit's, and the slots.
import { RoomServiceClient } from "livekit-server-sdk";
import type { Json, Stack } from "../kit/stack/stack.ts";
import { until } from "../kit/until.ts";

/** Says when a test gives up, never how fast something is. */
export const PATIENCE_MS = 60_000;

/** The session as soon as it has ended. */
export async function endOf(stack: Stack, sessionId: string): Promise<Json> {
  let session: Json;
  return await until(
    async () => {
      session = (await stack.get(`/api/session/${sessionId}`)).body;
      return session.state === "ended" ? session : undefined;
    },
    { timeoutMs: PATIENCE_MS, everyMs: 50, what: () => `the session ends; it is ${JSON.stringify(session)}` },
  );
}

export interface Pool {
  /** Warm and hot ones together. */
  readonly idle: number;
  readonly hot: number;
}

/** Waits until a profile has these agents, none serves a session and none is being made. */
export async function poolIs(stack: Stack, profile: string, { idle, hot }: Pool): Promise<void> {
  let seen: Json;
  await until(
    async () => {
      seen = (await stack.get("/api/health")).body.profiles?.[profile];
      if (seen === undefined || seen.busy > 0 || seen.warming > 0) return false;
      return seen.warm + seen.hot === idle && seen.hot === hot;
    },
    {
      timeoutMs: PATIENCE_MS,
      everyMs: 50,
      what: () =>
        `${profile} has ${idle} idle agents, ${hot} of them hot; it has ${JSON.stringify(seen)}\n` +
        stack.child("agent-host-1").text().slice(-3000),
    },
  );
}

/** Every slot that the hosts have, by its id: a slot is used once. */
export async function slotIds(stack: Stack): Promise<string[]> {
  const { hosts } = (await stack.get("/api/hosts")).body;
  const stages: Json[] = hosts.flatMap((host: Json) => host.processes);
  return stages.flatMap((stage) => stage.slots.map((slot: Json) => slot.id as string));
}

/** The slot that serves a session. */
export async function slotOf(stack: Stack, sessionId: string): Promise<string | undefined> {
  const { hosts } = (await stack.get("/api/hosts")).body;
  const slots: Json[] = hosts.flatMap((host: Json) => host.processes.flatMap((stage: Json) => stage.slots));
  return slots.find((slot) => slot.sessionId === sessionId)?.id;
}

/** The process in which a session's agent runs. @throws Error when none does */
export async function stagePidOf(stack: Stack, sessionId: string): Promise<number> {
  const { hosts } = (await stack.get("/api/hosts")).body;
  const stages: Json[] = hosts.flatMap((host: Json) => host.processes);
  const stage = stages.find(({ slots }) => slots.some((slot: Json) => slot.sessionId === sessionId));
  if (stage === undefined) throw new Error(`No stage serves ${sessionId}`);
  return stage.pid;
}

/** By LiveKit's own word. */
export async function roomNames(stack: Stack): Promise<string[]> {
  const { url, apiKey, apiSecret } = stack.livekit!;
  const rooms = await new RoomServiceClient(url.replace(/^ws/, "http"), apiKey, apiSecret).listRooms();
  return rooms.map(({ name }) => name);
}

export async function roomIsGone(stack: Stack, room: string): Promise<void> {
  await until(async () => !(await roomNames(stack)).includes(room), {
    timeoutMs: PATIENCE_MS,
    everyMs: 50,
    what: `the room ${room} is gone`,
  });
}
