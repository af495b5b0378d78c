// State of the stack behind the page, for browser tests: sessions, pools, slots and rooms.
import { RoomServiceClient } from "livekit-server-sdk";
import type { Json, Stack } from "../kit/stack/stack.ts";
import { until } from "../kit/until.ts";

/** When a test gives up; not a measure of speed. */
export const PATIENCE_MS = 60_000;

/** Waits until the session has ended, and returns it. */
export async function endOf(stack: Stack, sessionId: string): Promise<Json> {
  let session: Json;
  return await until(
    async () => {
      session = (await stack.get(`/api/session/${sessionId}`)).body;
      return session.state === "ended" ? session : undefined;
    },
    {
      timeoutMs: PATIENCE_MS,
      everyMs: 50,
      what: () => `the session ends; the session is ${JSON.stringify(session)}`,
    },
  );
}

export interface Pool {
  /** Warm and hot agents together. */
  readonly idle: number;
  readonly hot: number;
}

/** Waits until a profile has these agents and none is busy or warming. */
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
        `${profile} has ${idle} idle agents, ${hot} of them hot; the profile has ${JSON.stringify(seen)}\n` +
        stack.child("agent-host-1").text().slice(-3000),
    },
  );
}

/** The ids of all slots. A slot is used only once. */
export async function slotIds(stack: Stack): Promise<string[]> {
  const { hosts } = (await stack.get("/api/hosts")).body;
  const agentProcesses: Json[] = hosts.flatMap((host: Json) => host.processes);
  return agentProcesses.flatMap((agentProcess) => agentProcess.slots.map((slot: Json) => slot.id as string));
}

/** The slot that serves a session. */
export async function slotOf(stack: Stack, sessionId: string): Promise<string | undefined> {
  const { hosts } = (await stack.get("/api/hosts")).body;
  const slots: Json[] = hosts.flatMap((host: Json) =>
    host.processes.flatMap((agentProcess: Json) => agentProcess.slots),
  );
  return slots.find((slot) => slot.sessionId === sessionId)?.id;
}

/** The pid of the agent process that serves a session. @throws Error if there is none */
export async function agentProcessPidOf(stack: Stack, sessionId: string): Promise<number> {
  const { hosts } = (await stack.get("/api/hosts")).body;
  const agentProcesses: Json[] = hosts.flatMap((host: Json) => host.processes);
  const agentProcess = agentProcesses.find(({ slots }) =>
    slots.some((slot: Json) => slot.sessionId === sessionId),
  );
  if (agentProcess === undefined) throw new Error(`No agent process serves ${sessionId}`);
  return agentProcess.pid;
}

/** The rooms in LiveKit. */
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
