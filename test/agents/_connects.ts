// Shared by the test agents that connect with options of their own: an agent that reports its connection.
import { defineAgent, type JobContext } from "@livekit/agents";
import { RoomEvent } from "@livekit/rtc-node";
import { logJob } from "./_test-session.ts";

export const hotPool = { min: 2, hot: 1, max: 10, perProcess: 10, isolation: "shared" };

/** Its method `tracks` answers how many tracks of others it has seen, and was ever subscribed to. */
export const agentThat = (connect: (ctx: JobContext) => Promise<void>) =>
  defineAgent({
    entry: async (ctx: JobContext) => {
      logJob(ctx);
      let [published, subscribed] = [0, 0];
      ctx.room.on(RoomEvent.TrackPublished, () => published++);
      ctx.room.on(RoomEvent.TrackSubscribed, () => subscribed++);
      await connect(ctx);
      ctx.room.localParticipant?.registerRpcMethod("tracks", async () =>
        JSON.stringify({ published, subscribed }),
      );
    },
  });
