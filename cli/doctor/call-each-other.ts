// Lets two participants talk to each other in a child process, so that nothing native can hang or end the doctor.

import { fileURLToPath } from "node:url";
import { forkService } from "../supervisor/fork-service.ts";

export interface CallOrder {
  readonly url: string;
  readonly tokens: readonly [string, string];
}

export interface CallFacts {
  /** Until both were in the room. */
  readonly joinMs: number;
  /** Until each heard the other's tone, from when it was played; undefined for who never did. */
  readonly heardMs: readonly (number | undefined)[];
  readonly error?: string | undefined;
}

/** @throws Error when the child ends without a word */
export async function callEachOther(order: CallOrder, signal: AbortSignal): Promise<CallFacts> {
  const child = forkService(fileURLToPath(new URL("call-child.ts", import.meta.url)), {
    RUST_LOG: "off",
    ...process.env,
  });
  const stop = () => void child.kill("SIGKILL");
  signal.addEventListener("abort", stop, { once: true });
  let words = "";
  child.stderr?.on("data", (text: Buffer) => {
    words = (words + text.toString()).slice(-500);
  });
  child.stdout?.resume();
  try {
    return await new Promise<CallFacts>((resolve, reject) => {
      child.once("error", reject);
      child.once("message", (facts) => resolve(facts as CallFacts));
      child.once("exit", (code, signalName) => {
        reject(
          new Error(`the process of the call ended (${signalName ?? `exit code ${code}`}): ${words.trim()}`),
        );
      });
      // Not in its arguments or environment, where others could read the tokens.
      child.send(order);
    });
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}
