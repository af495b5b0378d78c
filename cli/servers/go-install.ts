// Installs a server by building it with Go, at the very version that the release would be.
import { join } from "node:path";
import type { BinarySpec } from "./binary-specs.ts";
import { installInto } from "./install-into.ts";
import { runProgram } from "./run-program.ts";

const BUILD_MS = 20 * 60_000;
const SAY_EVERY_MS = 10_000;

/** @throws Error when there is no Go, or when the build fails. */
export async function goInstall(
  spec: BinarySpec,
  target: string,
  options: { env: Readonly<Record<string, string | undefined>>; say: (line: string) => void },
): Promise<void> {
  const { env, say } = options;
  const go = await runProgram("go", ["version"], { timeoutMs: 10_000, env });
  if (go.exitCode !== 0) throw new Error("there is no Go on PATH");

  const module = `${spec.goPackage}@v${spec.version}`;
  say(`${spec.name} ${spec.version}: go install ${module} (one to three minutes, once)`);
  const startedAt = performance.now();
  const progress = setInterval(() => {
    say(`${spec.name}: still building, ${Math.round((performance.now() - startedAt) / 1000)} s`);
  }, SAY_EVERY_MS);
  try {
    await installInto(target, async (directory) => {
      const built = await runProgram("go", ["install", module], {
        timeoutMs: BUILD_MS,
        // Not the checkout, whose go.work or vendor folder could decide otherwise.
        cwd: directory,
        env: { ...env, GOBIN: directory },
      });
      if (built.exitCode !== 0) throw new Error(`go install ${module} failed: ${lastLines(built.stderr)}`);
      return join(directory, process.platform === "win32" ? `${spec.goName}.exe` : spec.goName);
    });
  } finally {
    clearInterval(progress);
  }
}

const lastLines = (text: string): string => text.trim().split("\n").slice(-5).join(" | ");
