// An agent in plain JavaScript.
import { fileURLToPath } from "node:url";
import { cli, defineAgent, ServerOptions, voice } from "@livekit/agents";

export default defineAgent({
  entry: async (ctx) => {
    await ctx.connect();
    const session = new voice.AgentSession({ vad: null, turnHandling: { turnDetection: null } });
    const agent = new voice.Agent({ instructions: "You are there, and no more." });
    await session.start({ agent, room: ctx.room, inputOptions: { audioEnabled: false } });
    console.log("plain.mjs serves", ctx.room.name);
  },
});

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  cli.runApp(new ServerOptions({ agent: fileURLToPath(import.meta.url) }));
}
