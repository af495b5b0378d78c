// A voice assistant: Deepgram transcribes, OpenAI answers and speaks.
import { defineAgent, inference, type JobContext, type JobProcess, voice } from "@livekit/agents";
import * as deepgram from "@livekit/agents-plugin-deepgram";
import * as openai from "@livekit/agents-plugin-openai";

/** Without these variables the profile is disabled, and health names the missing ones. */
export const requires = ["OPENAI_API_KEY", "DEEPGRAM_API_KEY"];
export const pool = { min: 3, hot: 1, max: 50, perProcess: 10, isolation: "shared" };

export default defineAgent({
  prewarm: async (proc: JobProcess) => {
    proc.userData.vad = new inference.VAD({ model: "silero" });
  },
  entry: async (ctx: JobContext) => {
    const session = new voice.AgentSession({
      vad: ctx.proc.userData.vad as inference.VAD,
      stt: new deepgram.STT({ model: "nova-3", ...deepgramAddress() }),
      llm: new openai.LLM({ model: "gpt-4.1-mini" }),
      tts: new openai.TTS({ model: "gpt-4o-mini-tts", voice: "alloy" }),
    });
    await session.start({
      agent: new voice.Agent({
        instructions: "You are a friendly voice assistant. Answer in one or two short sentences.",
      }),
      room: ctx.room,
    });
    await ctx.connect();
    await ctx.waitForParticipant();
    session.generateReply({ instructions: "Greet the user and offer your help." });
  },
});

/** The address of a self-hosted Deepgram. OpenAI's client reads OPENAI_BASE_URL by itself. */
function deepgramAddress(): { baseUrl?: string } {
  const baseUrl = process.env.DEEPGRAM_BASE_URL;
  return baseUrl ? { baseUrl } : {};
}
