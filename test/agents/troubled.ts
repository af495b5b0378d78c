// An agent that fails as the metadata of its session asks: `{ "fault": "throw" }`.
import { defineAgent, type JobContext } from "@livekit/agents";
import { sessionInfo } from "greenroom/agent";
import { logJob, startSession } from "./_test-session.ts";

export const pool = { min: 3, hot: 0, max: 20, perProcess: 10 };

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
  "throw TypeError": () => (undefined as unknown as JobContext).room,
  "never join": () => new Promise(() => {}),
  "never ready": async (ctx) => {
    await ctx.connect();
    await new Promise(() => {});
  },
};

/** Faults after the agent is ready. */
const late: Record<string, Fault> = {
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
  "shut down": (ctx) => later(() => ctx.shutdown("everything was said")),
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
