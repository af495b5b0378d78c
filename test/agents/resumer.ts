// A test agent that opens a resumed conversation itself.
import { defineAgent, type JobContext, voice } from "@livekit/agents";
import * as openai from "@livekit/agents-plugin-openai";
import { disableAutoGreeting, getResumption } from "greenroom/agent";

export const pool = { min: 2, hot: 0, max: 20, perProcess: 10, isolation: "shared" };

export default defineAgent({
  entry: async (ctx: JobContext) => {
    disableAutoGreeting();
    const resumption = getResumption();
    const session = new voice.AgentSession({
      vad: null,
      turnHandling: { turnDetection: null },
      llm: new openai.LLM({ model: "gpt-4.1-mini" }),
      tts: new openai.TTS({ voice: "ash" }),
    });
    await session.start({
      agent: new voice.Agent({ id: "receptionist", instructions: "You are a receptionist." }),
      room: ctx.room,
      inputOptions: { audioEnabled: false },
    });
    await ctx.connect();
    if (resumption === undefined) {
      session.say("Welcome.");
      return;
    }
    const said = resumption.chatCtx.items.flatMap((item) =>
      item.type === "message" ? item.textContent : [],
    );
    console.log("resumes", JSON.stringify({ ...resumption, chatCtx: said }));
    session.say(`I remember that we said ${said.length} things.`);
  },
});
