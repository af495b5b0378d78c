// A test agent whose prewarm always fails.
import { defineAgent } from "@livekit/agents";

export const pool = { min: 1, hot: 0, max: 10, perProcess: 10, isolation: "shared" };

export default defineAgent({
  prewarm: async () => {
    throw new Error("the model file is missing");
  },
  entry: async () => {},
});
