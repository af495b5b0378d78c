// An agent that needs a package that isn't installed.
import { defineAgent } from "@livekit/agents";
// @ts-expect-error The package is missing on purpose.
import { help } from "a-package-that-nobody-has";

export default defineAgent({ entry: async () => help() });
