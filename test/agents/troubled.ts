// An agent that fails as the metadata of its session asks: `{ "fault": "throw" }`.
import { defineAgent, type JobContext } from "@livekit/agents";
import { RoomEvent } from "@livekit/rtc-node";
import { ready, sessionInfo } from "greenroom/agent";
import { logJob, startSession } from "./_test-session.ts";

export const pool = { min: 3, hot: 0, max: 20, perProcess: 10, isolation: "shared" };

/** Makes a timer fail that belongs to no session. */
let failOutside = false;
setInterval(() => {
  if (!failOutside) return;
  failOutside = false;
  throw new Error("this belongs to no session");
}, 50);

/** Memory that is never freed. */
const hoard: Buffer[] = [];

const later = (call: () => void) => setTimeout(call, 300);

type Fault = (ctx: JobContext) => unknown;

/** Faults before the agent is ready. */
const early: Record<string, Fault> = {
  throw: () => {
    throw new Error("the agent's provider said no");
  },
  "throw for good": () => {
    throw Object.assign(new Error("the key is wrong"), { retryable: false });
  },
  "throw for a key": () => {
    throw new Error("OpenAI API key is required, whether as an argument or as $OPENAI_API_KEY");
  },
  // Nothing listens at this port.
  "no route": (ctx) =>
    ctx.room.connect("ws://127.0.0.1:9", ctx.room.token ?? "", { autoSubscribe: true, dynacast: false }),
  "throw TypeError": () => (undefined as unknown as JobContext).room,
  "never join": () => new Promise(() => {}),
  "never ready": async (ctx) => {
    await ctx.connect();
    await new Promise(() => {});
    ready();
  },
};

/** Faults after the agent is ready. */
const late: Record<string, Fault> = {
  "throw after ready": () => {
    throw new Error("the agent gives up");
  },
  "throw later": () => later(() => JSON.parse("{")),
  "reject later": () => void Promise.reject(new Error("nobody awaits this")),
  "fail outside": () => {
    failOutside = true;
  },
  hang: () =>
    later(() => {
      for (;;) Math.random();
    }),
  grow: () => setInterval(() => hoard.push(Buffer.alloc(64 * 1024 * 1024, 1)), 20),
  exit: () => later(() => process.exit(7)),
  die: () => later(() => process.kill(process.pid, "SIGKILL")),
  "shut down": (ctx) => later(() => ctx.shutdown("everything was said")),
  // LiveKit's own plugins throw at this moment if a message of their server is late.
  "throw at hang-up": (ctx) =>
    ctx.room.on(RoomEvent.ParticipantDisconnected, () =>
      setImmediate(() => {
        throw new Error("the stream is closed");
      }),
    ),
  "shut down among two": (ctx) => {
    const check = () => {
      if (ctx.room.remoteParticipants.size >= 2) ctx.shutdown("everything was said");
    };
    ctx.room.on(RoomEvent.ParticipantConnected, check);
    check();
  },
};

export default defineAgent({
  entry: async (ctx: JobContext) => {
    logJob(ctx);
    const { fault = "", attempts = 1 } = JSON.parse(ctx.job.metadata || "{}") as {
      fault?: string;
      attempts?: number;
    };
    const isTroubled = (sessionInfo()?.attempt ?? 1) <= attempts;
    if (isTroubled) await early[fault]?.(ctx);
    await startSession(ctx);
    if (isTroubled) late[fault]?.(ctx);
  },
});
