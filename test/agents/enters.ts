// A test agent that greets in onEnter and has its own failover message.
import { defineAgent, type JobContext, voice } from "@livekit/agents";
import * as openai from "@livekit/agents-plugin-openai";

export const pool = { min: 2, hot: 0, max: 20, perProcess: 10, isolation: "shared" };
export const failover = { message: "There I am again." };

class Host extends voice.Agent {
  override async onEnter(): Promise<void> {
    const speech = this.session.say("Come in.");
    await speech.waitForPlayout();
    console.log("the opening was said");
  }
}

export default defineAgent({
  entry: async (ctx: JobContext) => {
    const session = new voice.AgentSession({
      vad: null,
      turnHandling: { turnDetection: null },
      llm: new openai.LLM({ model: "gpt-4.1-mini" }),
      tts: new openai.TTS({ voice: "ash" }),
    });
    await session.start({
      agent: new Host({ instructions: "You are a host." }),
      room: ctx.room,
      inputOptions: { audioEnabled: false },
    });
    await ctx.connect();
  },
});
