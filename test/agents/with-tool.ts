// A test agent with speech, a language model and a tool, whose models all its sessions share.
import { defineAgent, inference, type JobContext, type JobProcess, llm, voice } from "@livekit/agents";
import * as deepgram from "@livekit/agents-plugin-deepgram";
import * as openai from "@livekit/agents-plugin-openai";
import { z } from "zod";

export const pool = { min: 2, hot: 0, max: 20, perProcess: 10, isolation: "shared" };

/** Created once for the process, like in many agent files, and shared by all its sessions. */
const model = new openai.LLM({ model: "gpt-4.1-mini" });
const speaker = new openai.TTS({ voice: "ash" });
const TOOL_MS = 200;

const lookUpOrder = llm.tool({
  description: "Looks up where an order is.",
  parameters: z.object({ order: z.string() }),
  execute: async ({ order }) => {
    await new Promise((resolve) => setTimeout(resolve, TOOL_MS));
    return `order ${order} is on its way`;
  },
});

export default defineAgent({
  prewarm: async (proc: JobProcess) => {
    proc.userData.vad = new inference.VAD({ model: "silero" });
  },
  entry: async (ctx: JobContext) => {
    const session = new voice.AgentSession({
      vad: ctx.proc.userData.vad as inference.VAD,
      stt: new deepgram.STT({ baseUrl: process.env.DEEPGRAM_BASE_URL ?? "wss://api.deepgram.com" }),
      llm: model,
      tts: speaker,
    });
    const agent = new voice.Agent({ instructions: "You know about orders.", tools: { lookUpOrder } });
    await session.start({ agent, room: ctx.room });
    await ctx.connect();
    session.generateReply({ instructions: "Greet the user." });
  },
});
