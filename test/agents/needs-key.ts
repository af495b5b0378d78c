// An agent for tests that needs a key which nobody has.
import { defineAgent } from "@livekit/agents";

export const requires = ["KEY_THAT_NOBODY_HAS"];

export default defineAgent({ entry: async () => {} });
