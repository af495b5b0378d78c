// Runs LiveKit's local inference (end-of-turn models) for the agents of a stage, in this process.
import { InferenceRunner, type ipc } from "@livekit/agents";

interface Runner {
  initialize(): Promise<void>;
  run(data: unknown): Promise<unknown>;
}

/** The end-of-turn model that an AgentSession takes when its file names no other. */
const EOT_METHOD = "lk_eot_audio";

/**
 * LiveKit's own worker runs inference in a process beside its jobs. A stage does it in place, when it is first
 * asked: its agents share one copy of each model, and the models that matter compute on threads of their own.
 */
export function createInferenceExecutor(): ipc.InferenceExecutor {
  registerEndOfTurn();
  const runners = new Map<string, Promise<Runner>>();
  return {
    async doInference(method: string, data: unknown): Promise<unknown> {
      let runner = runners.get(method);
      if (runner === undefined) {
        runner = start(method);
        runner.catch(() => runners.delete(method));
        runners.set(method, runner);
      }
      return (await runner).run(data);
    },
  } as ipc.InferenceExecutor;
}

async function start(method: string): Promise<Runner> {
  const registered = (InferenceRunner as unknown as { registeredRunners: Record<string, string> })
    .registeredRunners;
  const from = registered[method];
  if (from === undefined) throw new Error(`No inference runner is registered for ${method}.`);
  const module = (await import(from)) as { default: new () => Runner };
  const runner = new module.default();
  await runner.initialize();
  return runner;
}

/** The worker class of the library registers this one; there is no worker here. */
function registerEndOfTurn(): void {
  const registered = (InferenceRunner as unknown as { registeredRunners: Record<string, string> })
    .registeredRunners;
  if (registered[EOT_METHOD] !== undefined) return;
  const runner = new URL("./inference/eot/runner.js", import.meta.resolve("@livekit/agents"));
  InferenceRunner.registerRunner(EOT_METHOD, runner.href);
}
