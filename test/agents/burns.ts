// A test agent that computes before it is warm, and leaves timers behind that compute or block.
import { defineAgent, type JobContext } from "@livekit/agents";
import { startSession } from "./_test-session.ts";

/** Three in two processes: the process of a call keeps another agent, and stays after the call. */
export const pool = { min: 3, hot: 0, max: 10, perProcess: 10, isolation: "shared" };

function compute(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until; ) Math.random();
}

const computeAgain = (): unknown => setTimeout(() => computeAgain(), 1) && compute(20);

/** Blocks for 0.4 of every second, without a CPU. */
function pauseAgain(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
  setTimeout(pauseAgain, 600);
}

export default defineAgent({
  prewarm: () => compute(500),
  entry: async (ctx: JobContext) => {
    await startSession(ctx);
    const { leaves } = JSON.parse(ctx.job.metadata || "{}") as { leaves?: string };
    if (leaves === "an interval") setInterval(() => compute(18), 20);
    if (leaves === "timers") computeAgain();
    if (leaves === "pauses") pauseAgain();
  },
});
