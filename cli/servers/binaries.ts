// Finds nats-server and livekit-server, or installs them.
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { messageOf } from "../../libs/contracts/errors.ts";
import type { BinarySpec } from "./binary-specs.ts";
import { downloadRelease } from "./download-release.ts";
import { installInto } from "./install-into.ts";
import { runProgram } from "./run-program.ts";

const BUILD_MS = 20 * 60_000;
const REPORT_EVERY_MS = 10_000;

export interface FindOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Receives lines about the progress, since an installation may take minutes. */
  readonly report: (line: string) => void;
}

/** A server was not found and could not be installed. The message lists what was tried and what to do. */
export class BinaryError extends Error {
  override readonly name = "BinaryError";
}

/**
 * The path of a server's program. The first of these wins: the program that a setting names, PATH, the cache, the official
 * release, `go install`. Concurrent calls are safe, because a program appears in the cache in one step.
 *
 * @throws BinaryError
 */
export async function findBinary(spec: BinarySpec, options: FindOptions): Promise<string> {
  const { env, report } = options;
  const named = env[spec.pathSetting];
  if (named) return await checkNamed(spec, named);

  const tried: string[] = [];
  const onPath = await findOnPath(spec, env, tried, report);
  if (onPath !== undefined) return onPath;

  const cached = cachedPath(spec, env);
  if (await isExecutable(cached)) return cached;
  tried.push(`${cached}: not found`);

  for (const [how, install] of [
    ["the official release", downloadRelease],
    ["go install", goInstall],
  ] as const) {
    try {
      await install(spec, cached, { env, report });
      report(`installed ${spec.name} ${spec.version} at ${cached}`);
      return cached;
    } catch (error) {
      tried.push(`${how}: ${messageOf(error)}`);
      report(`failed to install ${spec.name} from ${how}: ${messageOf(error)}`);
    }
  }
  throw new BinaryError(
    `${spec.name} was not found and could not be installed.\n${tried.map((line) => `  ${line}`).join("\n")}\n` +
      `Install ${spec.name} ${spec.version} from https://github.com/${spec.repository}/releases on PATH. ` +
      `Or set ${spec.pathSetting} to its path. Or install Go and retry.`,
  );
}

/** Builds the release's version with Go. @throws Error if Go is missing or the build fails */
async function goInstall(spec: BinarySpec, target: string, options: FindOptions): Promise<void> {
  const { env, report } = options;
  const go = await runProgram("go", ["version"], { timeoutMs: 10_000, env });
  if (go.exitCode !== 0) throw new Error("no Go on PATH");

  const module = `${spec.goPackage}@v${spec.version}`;
  report(`${spec.name} ${spec.version}: go install ${module} (one to three minutes, once)`);
  const startedAt = performance.now();
  const progress = setInterval(() => {
    report(`${spec.name}: still building, ${Math.round((performance.now() - startedAt) / 1000)} s`);
  }, REPORT_EVERY_MS);
  try {
    await installInto(target, async (directory) => {
      const built = await runProgram("go", ["install", module], {
        timeoutMs: BUILD_MS,
        // Outside the checkout, whose go.work or vendor directory could interfere.
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

/** The program that `findBinary` would find without installing. `problem` concerns the one that a setting names. */
export async function findInstalled(
  spec: BinarySpec,
  env: FindOptions["env"],
): Promise<{ readonly path: string | undefined; readonly problem: string | undefined }> {
  const named = env[spec.pathSetting];
  if (named) {
    return await checkNamed(spec, named).then(
      (path) => ({ path, problem: undefined }),
      (error: unknown) => ({ path: undefined, problem: messageOf(error).replace(/\.$/, "") }),
    );
  }
  const cached = cachedPath(spec, env);
  const path =
    (await findOnPath(spec, env, [], () => {})) ?? ((await isExecutable(cached)) ? cached : undefined);
  return { path, problem: undefined };
}

const cachedPath = (spec: BinarySpec, env: FindOptions["env"]): string =>
  join(cacheDirectory(env), `${spec.name}-${spec.version}${process.platform === "win32" ? ".exe" : ""}`);

/** The cache of installed programs, shared by all checkouts of this user. */
function cacheDirectory(env: FindOptions["env"]): string {
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), ".cache"), "greenroom", "bin");
}

async function checkNamed(spec: BinarySpec, path: string): Promise<string> {
  if (!(await isExecutable(path))) {
    throw new BinaryError(
      `${spec.pathSetting} is ${path}, which is not an executable program. Correct it, or unset it to search PATH.`,
    );
  }
  const version = await versionOf(path);
  const problem = version === undefined ? undefined : spec.problemOf(version);
  if (problem === undefined) return path;
  throw new BinaryError(`${spec.pathSetting} is ${path}: ${problem}.`);
}

async function findOnPath(
  spec: BinarySpec,
  env: FindOptions["env"],
  tried: string[],
  report: FindOptions["report"],
): Promise<string | undefined> {
  const file = process.platform === "win32" ? `${spec.name}.exe` : spec.name;
  for (const directory of (env.PATH ?? "").split(delimiter).filter(Boolean)) {
    const path = join(directory, file);
    if (!(await isExecutable(path))) continue;
    const version = await versionOf(path);
    const problem = version === undefined ? "it does not print its version" : spec.problemOf(version);
    if (problem === undefined) return path;
    tried.push(`${path}: ${problem}`);
    report(`ignored ${path}: ${problem}`);
  }
  if (tried.length === 0) tried.push(`PATH: no ${file}`);
  return undefined;
}

/** The first version number in the output of `--version`. */
async function versionOf(path: string): Promise<string | undefined> {
  const { exitCode, stdout, stderr } = await runProgram(path, ["--version"], { timeoutMs: 5000 });
  if (exitCode !== 0) return undefined;
  return `${stdout}\n${stderr}`.match(/\bv?(\d+\.\d+\.\d+(?:-[\w.]+)?)/)?.[1];
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
