// An agent for tests that fails in the way that its session's metadata asks for: `{ "trouble": "throw" }`.
import { defineAgent, type JobContext } from "@livekit/agents";
import { sessionInfo } from "greenroom/agent";
import { openSession, tellOfJob } from "./_open-session.ts";

export const pool = { min: 3, hot: 0, max: 20, perProcess: 10 };

/** Belongs to no session: what fails here can't be traced to one. */
let failOutside = false;
setInterval(() => {
  if (!failOutside) return;
  failOutside = false;
  throw new Error("this belongs to no session");
}, 50);

/** What was allocated and is never let go. */
const hoard: Buffer[] = [];

const later = (call: () => void) => setTimeout(call, 300);

type Trouble = (ctx: JobContext) => unknown;

/** Before the agent is ready. */
const early: Record<string, Trouble> = {
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

/** Once it is ready. */
const late: Record<string, Trouble> = {
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
    tellOfJob(ctx);
    const { trouble = "", attempts = 1 } = JSON.parse(ctx.job.metadata || "{}") as {
      trouble?: string;
      attempts?: number;
    };
    const isTroubled = (sessionInfo()?.attempt ?? 1) <= attempts;
    if (isTroubled) await early[trouble]?.(ctx);
    await openSession(ctx);
    if (isTroubled) late[trouble]?.(ctx);
  },
});
