// A test agent that connects its room itself, with an option that `ctx.connect` does not have.
import { agentThat, hotPool } from "./_connects.ts";

export const pool = hotPool;

export default agentThat((ctx) =>
  ctx.room.connect(ctx.info.url, ctx.info.token, { autoSubscribe: true, dynacast: true }),
);
