// An agent whose models have names, so that LiveKit's inference gateway serves them.
import { defineAgent, voice } from "@livekit/agents";

export default defineAgent({
  entry: async (ctx) => {
    const session = new voice.AgentSession({
      stt: "deepgram/nova-3",
      llm: "openai/gpt-4.1-mini",
      tts: "cartesia/sonic-3",
    });
    await session.start({ agent: new voice.Agent({ instructions: "Answer." }), room: ctx.room });
    await ctx.connect();
    session.generateReply({ instructions: "Greet the user." });
  },
});
