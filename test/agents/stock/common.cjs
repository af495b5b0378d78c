// An agent in CommonJS, like TypeScript compiles it.
const { cli, defineAgent, ServerOptions, voice } = require("@livekit/agents");

exports.default = defineAgent({
  entry: async (ctx) => {
    await ctx.connect();
    const session = new voice.AgentSession({ vad: null, turnHandling: { turnDetection: null } });
    const agent = new voice.Agent({ instructions: "You are there, and no more." });
    await session.start({ agent, room: ctx.room, inputOptions: { audioEnabled: false } });
    console.log("common.cjs serves", ctx.room.name);
  },
});

cli.runApp(new ServerOptions({ agent: __filename }));
