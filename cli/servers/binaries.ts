// Finds nats-server and livekit-server, or installs them.
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { messageOf } from "../../libs/contracts/errors.ts";
import type { BinarySpec } from "./binary-specs.ts";
import { downloadRelease } from "./download-release.ts";
import { goInstall } from "./go-install.ts";
import { runProgram } from "./run-program.ts";

export interface FindOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Told what goes on, a line at a time: an installation may take minutes. */
  readonly report: (line: string) => void;
}

/** There is no such server and none could be installed; the message says what was tried and what to do. */
export class BinaryError extends Error {
  override readonly name = "BinaryError";
}

/**
 * The path of a program that can be run: the one a setting names, else the first of PATH, our cache, the
 * official release, `go install`. Two processes that look at once do no harm: what is installed appears in
 * the cache in one step.
 *
 * @throws BinaryError
 */
export async function findBinary(spec: BinarySpec, options: FindOptions): Promise<string> {
  const { env, report: say } = options;
  const named = env[spec.pathSetting];
  if (named) return await checkNamed(spec, named);

  const tried: string[] = [];
  const onPath = await findOnPath(spec, env, tried, say);
  if (onPath !== undefined) return onPath;

  const cached = cachedPath(spec, env);
  if (await isExecutable(cached)) return cached;
  tried.push(`${cached}: not there`);

  for (const [how, install] of [
    ["the official release", downloadRelease],
    ["go install", goInstall],
  ] as const) {
    try {
      await install(spec, cached, { env, say });
      say(`${spec.name} ${spec.version} is installed at ${cached}`);
      return cached;
    } catch (error) {
      tried.push(`${how}: ${messageOf(error)}`);
      say(`${spec.name}: ${how} did not work: ${messageOf(error)}`);
    }
  }
  throw new BinaryError(
    `There is no ${spec.name} and none could be installed.\n${tried.map((line) => `  ${line}`).join("\n")}\n` +
      `Install ${spec.name} ${spec.version} from https://github.com/${spec.repository}/releases and put it ` +
      `on PATH, or set ${spec.pathSetting} to its path, or install Go and start again.`,
  );
}

/** What `findBinary` would find without installing anything; `problem` is about the one that a setting names. */
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

/** Where installed binaries are kept: shared by every checkout of this user. */
function cacheDirectory(env: FindOptions["env"]): string {
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), ".cache"), "greenroom", "bin");
}

async function checkNamed(spec: BinarySpec, path: string): Promise<string> {
  if (!(await isExecutable(path))) {
    throw new BinaryError(
      `${spec.pathSetting} is ${path}, which is no program that can be run. Correct it, or unset it to have one found.`,
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
  say: FindOptions["report"],
): Promise<string | undefined> {
  const file = process.platform === "win32" ? `${spec.name}.exe` : spec.name;
  for (const directory of (env.PATH ?? "").split(delimiter).filter(Boolean)) {
    const path = join(directory, file);
    if (!(await isExecutable(path))) continue;
    const version = await versionOf(path);
    const problem = version === undefined ? "it does not say its version" : spec.problemOf(version);
    if (problem === undefined) return path;
    tried.push(`${path}: ${problem}`);
    say(`${path} is not used: ${problem}`);
  }
  if (tried.length === 0) tried.push(`PATH: no ${file}`);
  return undefined;
}

/** The first version number that `--version` shows. */
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
