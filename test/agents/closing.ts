// A test agent that ends as its user asks, and logs what it observes, under LiveKit's own worker and under Greenroom.
import { defineAgent, type JobContext, voice } from "@livekit/agents";
import { DisconnectReason, RoomEvent } from "@livekit/rtc-node";

export const pool = { min: 4, hot: 0, max: 40 };

/** The metadata of a job. */
interface Options {
  readonly input?: { readonly closeOnDisconnect?: boolean; readonly deleteRoomOnClose?: boolean };
  /** Whether `entry` goes on until the user asks it to return or to throw. */
  readonly waits?: boolean;
  readonly worksAfterClose?: boolean;
}

/** Long enough for the answer of the call to reach the user. */
const ANSWERED_MS = 200;
const WORK_MS = 1500;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const observe = (ctx: JobContext, seen: object) =>
  console.log(`closing ${JSON.stringify({ job: ctx.job.id, room: ctx.job.room?.name, ...seen })}`);

function actions(ctx: JobContext, session: voice.AgentSession): Record<string, () => unknown> {
  return {
    "ctx.shutdown": () => ctx.shutdown("everything was said"),
    "ctx.deleteRoom": () => ctx.deleteRoom(),
    // As LiveKit's AgentSession does when a model provider keeps failing.
    "provider error": () => session._closeSoon({ reason: voice.CloseReason.ERROR }),
    "session.close": () => session.close(),
    "session.shutdown": () => session.shutdown(),
  };
}

export default defineAgent({
  entry: async (ctx: JobContext) => {
    const { input, waits, worksAfterClose } = JSON.parse(ctx.job.metadata || "{}") as Options;
    ctx.addShutdownCallback(async () => observe(ctx, { event: "shutdown callback" }));
    await ctx.connect();
    ctx.room.on(RoomEvent.Disconnected, (reason) => observe(ctx, { disconnect: DisconnectReason[reason] }));
    const session = new voice.AgentSession({ vad: null, turnHandling: { turnDetection: null } });
    session.on(voice.AgentSessionEventTypes.Close, async ({ reason }) => {
      observe(ctx, { event: `close: ${reason}` });
      if (!worksAfterClose) return;
      await sleep(WORK_MS);
      observe(ctx, { work: "done" });
    });
    const entryEnd = new Promise<void>((resolve, reject) => {
      const all: Record<string, () => unknown> = {
        ...actions(ctx, session),
        return: resolve,
        throw: () => reject(new Error("the agent gives up")),
      };
      ctx.room.localParticipant?.registerRpcMethod("act", async ({ payload }) => {
        setTimeout(() => void all[payload]?.(), ANSWERED_MS);
        return "";
      });
    });
    await session.start({
      agent: new voice.Agent({ instructions: "You are there, and no more." }),
      room: ctx.room,
      inputOptions: { audioEnabled: false, ...input },
    });
    observe(ctx, { event: "started" });
    if (!waits) return;
    await entryEnd;
    observe(ctx, { event: "entry returns" });
  },
  onSessionEnd: async (ctx: JobContext) =>
    observe(ctx, { event: "onSessionEnd", endsInRoom: ctx.room.isConnected }),
});
