// An agent like LiveKit's own example, which starts a worker at the end of the file.
import { fileURLToPath } from "node:url";
import {
  cli,
  defineAgent,
  inference,
  type JobContext,
  type JobProcess,
  voice,
  WorkerOptions,
} from "@livekit/agents";
import * as deepgram from "@livekit/agents-plugin-deepgram";
import * as openai from "@livekit/agents-plugin-openai";

class Assistant extends voice.Agent {
  constructor() {
    super({ instructions: "You are a helpful voice AI assistant." });
  }
}

export default defineAgent({
  prewarm: async (proc: JobProcess) => {
    proc.userData.vad = new inference.VAD({ model: "silero" });
  },
  entry: async (ctx: JobContext) => {
    const vad = ctx.proc.userData.vad as inference.VAD;
    const session = new voice.AgentSession({
      vad,
      stt: new deepgram.STT({ baseUrl: process.env.DEEPGRAM_BASE_URL ?? "wss://api.deepgram.com" }),
      llm: new openai.LLM({ model: "gpt-4.1-mini" }),
      tts: new openai.TTS({ voice: "ash" }),
    });

    await session.start({ agent: new Assistant(), room: ctx.room });
    await ctx.connect();
    session.generateReply({ instructions: "Greet the user in a helpful and friendly manner." });
  },
});

cli.runApp(new WorkerOptions({ agent: fileURLToPath(import.meta.url), agentName: "my-agent" }));
