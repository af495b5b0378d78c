// A test agent that greets as soon as it has started, and answers what is written to it.
import { ReadableStream } from "node:stream/web";
import { AutoSubscribe, defineAgent, type JobContext, voice } from "@livekit/agents";
import { AudioFrame } from "@livekit/rtc-node";

export const pool = { min: 2, hot: 1, max: 10, perProcess: 10, isolation: "shared" };

/** A second of silence, so that nothing has to be synthesized. */
const silence = (): ReadableStream<AudioFrame> =>
  ReadableStream.from(Array.from({ length: 10 }, () => AudioFrame.create(24_000, 1, 2400)));

export default defineAgent({
  entry: async (ctx: JobContext) => {
    const session = new voice.AgentSession({ vad: null, turnHandling: { turnDetection: null } });
    await session.start({
      agent: new voice.Agent({ instructions: "You greet." }),
      room: ctx.room,
      inputOptions: {
        audioEnabled: false,
        textInputCallback: (_, { text }) => void session.say(`You wrote ${text}.`, { audio: silence() }),
      },
    });
    // Without effect, also in LiveKit's worker, because the AgentSession has connected the room.
    await ctx.connect(undefined, AutoSubscribe.AUDIO_ONLY);
    session.say("Good morning.", { audio: silence() });
  },
});
