// A test agent that needs a missing key.
import { defineAgent } from "@livekit/agents";

export const requires = ["KEY_THAT_NOBODY_HAS"];

export default defineAgent({ entry: async () => {} });
