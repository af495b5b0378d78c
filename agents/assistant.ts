// A voice assistant: Deepgram hears, OpenAI thinks, OpenAI speaks.
import { defineAgent, inference, type JobContext, type JobProcess, voice } from "@livekit/agents";
import * as deepgram from "@livekit/agents-plugin-deepgram";
import * as openai from "@livekit/agents-plugin-openai";

/** Without these the profile is disabled, and health says why. */
export const requires = ["OPENAI_API_KEY", "DEEPGRAM_API_KEY"];
export const pool = { min: 3, hot: 1, max: 50, perStage: 10 };

export default defineAgent({
  prewarm: async (proc: JobProcess) => {
    proc.userData.vad = new inference.VAD({ model: "silero" });
  },
  entry: async (ctx: JobContext) => {
    const session = new voice.AgentSession({
      vad: ctx.proc.userData.vad as inference.VAD,
      stt: new deepgram.STT({ model: "nova-3", ...baseUrl("DEEPGRAM_BASE_URL", "baseUrl") }),
      llm: new openai.LLM({ model: "gpt-4.1-mini", ...baseUrl("OPENAI_BASE_URL", "baseURL") }),
      tts: new openai.TTS({
        model: "gpt-4o-mini-tts",
        voice: "alloy",
        ...baseUrl("OPENAI_BASE_URL", "baseURL"),
      }),
      turnHandling: { turnDetection: "vad" },
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

/** A provider at another address: a proxy, a gateway, a server of one's own. */
function baseUrl(variable: string, option: string): Record<string, string> {
  const value = process.env[variable];
  return value ? { [option]: value } : {};
}
