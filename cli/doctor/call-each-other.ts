// Connects two participants in a child process, so that the native library can't hang or crash the doctor.
import { compiledFile } from "../../libs/runtime/compiled.ts";
import { forkService } from "../supervisor/fork-service.ts";

export interface CallOrder {
  readonly url: string;
  readonly tokens: readonly [string, string];
}

export interface CallFacts {
  /** Time until both were in the room. */
  readonly joinMs: number;
  /** Time from playing to hearing, for each participant. Undefined: nothing was heard. */
  readonly heardMs: readonly (number | undefined)[];
  readonly error?: string | undefined;
}

/** @throws Error if the child process ends without an answer */
export async function callEachOther(order: CallOrder, signal: AbortSignal): Promise<CallFacts> {
  const child = forkService(compiledFile("cli/doctor/call-child.ts"), {
    RUST_LOG: "off",
    ...process.env,
  });
  const stop = () => void child.kill("SIGKILL");
  signal.addEventListener("abort", stop, { once: true });
  let output = "";
  child.stderr?.on("data", (text: Buffer) => {
    output = (output + text.toString()).slice(-500);
  });
  child.stdout?.resume();
  try {
    return await new Promise<CallFacts>((resolve, reject) => {
      child.once("error", reject);
      child.once("message", (facts) => resolve(facts as CallFacts));
      child.once("exit", (code, signalName) => {
        reject(
          new Error(`the process of the call ended (${signalName ?? `exit code ${code}`}): ${output.trim()}`),
        );
      });
      // Sent as a message, because other users can read arguments and environment.
      child.send(order);
    });
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}
