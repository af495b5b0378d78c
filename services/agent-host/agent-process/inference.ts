// Runs LiveKit's local inference (end-of-turn models) in the agent process.
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import { InferenceRunner, type ipc } from "@livekit/agents";

interface Runner {
  initialize(): Promise<void>;
  run(data: unknown): Promise<unknown>;
}

export interface ProcessInference {
  readonly executor: ipc.InferenceExecutor;
}

/** The end-of-turn model that an AgentSession uses by default. */
const EOT_METHOD = "lk_eot_audio";

/**
 * LiveKit's own worker runs inference in a separate process. An agent process runs it itself, once a session needs it.
 * Its agents share one copy of each model, and the relevant models compute on threads of their own.
 */
export function createInference(): ProcessInference {
  registerEndOfTurn();
  const runners = new Map<string, Promise<Runner>>();
  const runnerOf = (method: string): Promise<Runner> => {
    let runner = runners.get(method);
    if (runner === undefined) {
      runner = start(method);
      runner.catch(() => runners.delete(method));
      runners.set(method, runner);
    }
    return runner;
  };
  return {
    executor: {
      doInference: async (method: string, data: unknown) => (await runnerOf(method)).run(data),
    } as ipc.InferenceExecutor,
  };
}

async function start(method: string): Promise<Runner> {
  const registered = (InferenceRunner as unknown as { registeredRunners: Record<string, string> })
    .registeredRunners;
  const from = registered[method];
  if (from === undefined) throw new Error(`No inference runner is registered for ${method}.`);
  if (method === EOT_METHOD) await loadEndOfTurn();
  const module = (await import(from)) as { default: new () => Runner };
  const runner = new module.default();
  await runner.initialize();
  return runner;
}

/**
 * Loads the model in a worker thread. It takes a third of a second, in which no other agent of the process could speak
 * or hear. The native library keeps one copy for the whole process.
 */
async function loadEndOfTurn(): Promise<void> {
  const file = createRequire(import.meta.resolve("@livekit/agents")).resolve("@livekit/local-inference");
  const loader = new Worker(`require(${JSON.stringify(file)}).initEot();`, { eval: true, execArgv: [] });
  await new Promise<void>((resolve, reject) => {
    loader.once("error", reject);
    loader.once("exit", () => resolve());
  });
}

/** The library's worker class registers this runner; an agent process has no such worker. */
function registerEndOfTurn(): void {
  const registered = (InferenceRunner as unknown as { registeredRunners: Record<string, string> })
    .registeredRunners;
  if (registered[EOT_METHOD] !== undefined) return;
  const runner = new URL("./inference/eot/runner.js", import.meta.resolve("@livekit/agents"));
  InferenceRunner.registerRunner(EOT_METHOD, runner.href);
}
