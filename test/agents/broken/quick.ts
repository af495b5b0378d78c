// A test agent with the name of another one, which works on no host.
import { defineAgent } from "@livekit/agents";

export const pool = { min: 3, hot: 0, max: 50, perProcess: 10, isolation: "shared" };

export default defineAgent({
  entry: async () => {
    throw new Error("this host has no model");
  },
});
