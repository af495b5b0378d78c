// Preloaded by every thread of an agent process: worker threads of a TypeScript agent file can be TypeScript, too.
import { getEnvironmentData, isMainThread } from "node:worker_threads";
import { LOADS_TYPESCRIPT, registerTypeScript } from "./import-agent.ts";

if (!isMainThread && getEnvironmentData(LOADS_TYPESCRIPT) === true) await registerTypeScript();
