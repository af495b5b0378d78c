// A test agent for telephone calls, which greets in onEnter with a second of tone, without models.
import { ReadableStream } from "node:stream/web";
import { defineAgent, type JobContext, voice } from "@livekit/agents";
import { AudioFrame } from "@livekit/rtc-node";
import { logJob } from "./_test-session.ts";

export const pool = { min: 2, hot: 0, max: 20, perProcess: 10, isolation: "shared" };

const RATE = 24_000;
const HERTZ = 440;

class Caller extends voice.Agent {
  override async onEnter(): Promise<void> {
    const speech = this.session.say("Hello, this is a call.", { audio: tone(1) });
    await speech.waitForPlayout();
    console.log("the greeting was said");
  }
}

export default defineAgent({
  entry: async (ctx: JobContext) => {
    logJob(ctx);
    await ctx.connect();
    const session = new voice.AgentSession({ vad: null, turnHandling: { turnDetection: null } });
    session.on(voice.AgentSessionEventTypes.ConversationItemAdded, ({ item }) => {
      if (item.type === "message") console.log(`in the history: ${item.textContent}`);
    });
    await session.start({
      agent: new Caller({ instructions: "You call people." }),
      room: ctx.room,
      inputOptions: { audioEnabled: false },
    });
  },
});

function tone(seconds: number): ReadableStream<AudioFrame> {
  const samples = RATE / 10;
  return new ReadableStream({
    start(controller) {
      for (let part = 0; part < seconds * 10; part++) {
        const wave = Int16Array.from(
          { length: samples },
          (_, i) => 8000 * Math.sin((2 * Math.PI * HERTZ * (part * samples + i)) / RATE),
        );
        controller.enqueue(new AudioFrame(wave, RATE, 1, samples));
      }
      controller.close();
    },
  });
}
