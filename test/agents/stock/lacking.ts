// An agent that needs a package which nobody has installed.
import { defineAgent } from "@livekit/agents";
// @ts-expect-error It is not there, and that is the point.
import { help } from "a-package-that-nobody-has";

export default defineAgent({ entry: async () => help() });
