// Loads an agent file and reads its exports.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type AgentDefinition, isAgent, type ServerOptions, version } from "@livekit/agents";
import { messageOf } from "../../../../libs/contracts/errors.ts";
import type { Isolation, PoolSettings } from "../../../../libs/contracts/fleet/pool.ts";
import { FailoverSettings } from "../../../../libs/contracts/sessions/conversation.ts";
import type { ProcessFailover, ProcessStart } from "../../pool/messages.ts";
import { type ReadinessTraits, readinessTraits } from "../readiness.ts";
import { importAgent } from "./import-agent.ts";
import { isolationOf, poolExportOf } from "./pool-export.ts";
import { runAppOptions } from "./run-app.ts";

/** One evaluation of an agent file. */
export interface AgentCopy {
  readonly agent: AgentDefinition;
  readonly requestFunc: ServerOptions["requestFunc"] | undefined;
}

export interface LoadedAgent extends AgentCopy {
  /** The file with the agent: the profile's own file, or the one that it gives to `cli.runApp`. */
  readonly file: string;
  /** The name by which LiveKit would dispatch the agent. */
  readonly agentName: string | undefined;
  readonly pool: Partial<PoolSettings>;
  readonly isolation: Isolation;
  readonly failover: ProcessFailover;
  readonly readiness: ReadinessTraits;
}

/** Node's error for `import { name } from "module"`, if the module is an ES module or a CommonJS one. */
const MISSING_EXPORT =
  /(?:Named export '(.+?)' not found\. )?The requested module '(.+?)' (?:does not provide an export named '(.+?)'|is a CommonJS module)/;

/** The file requires a key, a package or an export that is missing. */
export class DisabledError extends Error {}

/** The file is no agent file, for example a helper of one. */
export class NoAgentError extends Error {}

/** @param warn called for exports that are ignored */
export async function loadAgent(
  start: ProcessStart,
  warn: (faults: object, message: string) => void,
): Promise<LoadedAgent> {
  let file = start.file;
  let module = await importOrDisable(file);
  const options = runAppOptions();
  if (!isAgent(module.default) && options !== undefined) {
    file = fileOf(options.agent, start.file);
    const other = await importOrDisable(file);
    module = { ...other, ...module, default: other.default };
  }
  assertRequired(module.requires);
  return {
    file,
    agentName: options?.agentName || undefined,
    agent: agentIn(module),
    requestFunc: options?.requestFunc,
    pool: poolExportOf(module),
    isolation: isolationOf(module) ?? start.isolation,
    failover: failoverOf(module, start, warn),
    readiness: readinessTraits(await readFile(file, "utf8")),
  };
}

/**
 * Evaluates the file and the modules of its project again, so that no slot shares their variables with another one.
 * @param copy a number that was not used before in this process
 */
export async function loadCopy(file: string, copy: number): Promise<AgentCopy> {
  const agent = agentIn(await importAgent(file, copy));
  return { agent, requestFunc: runAppOptions()?.requestFunc };
}

async function importOrDisable(file: string): Promise<Record<string, unknown>> {
  try {
    return await importAgent(file);
  } catch (error) {
    const missing = missingPackage(error);
    if (missing !== undefined)
      throw new DisabledError(`the package ${missing} is missing; install it with npm`);
    throw missingExport(error) ?? topLevelAwait(error) ?? error;
  }
}

/** The error for a TypeScript file whose project does not have "type": "module". LiveKit's own worker refuses it, too. */
function topLevelAwait(error: unknown): Error | undefined {
  const message = messageOf(error);
  if (!/top-level await/i.test(message)) return undefined;
  const todo = 'add "type": "module" to the package.json of the project, or give the file the ending .mts';
  return new Error(`${message.replace(/\s+/g, " ")}; ${todo}`);
}

/** The error for an import of an export that its module does not have. */
function missingExport(error: unknown): DisabledError | undefined {
  const [, named, module, name = named] = MISSING_EXPORT.exec(messageOf(error)) ?? [];
  if (module === undefined) return undefined;
  const isAgents = module.startsWith("data:") || module === "@livekit/agents";
  return new DisabledError(
    isAgents
      ? `@livekit/agents ${version} has no export ${name}; the file needs another version of Greenroom`
      : `${module} has no export ${name}`,
  );
}

/** The agent of `cli.runApp`: a URL, an absolute path, or a path relative to the file or to the project. */
function fileOf(agent: string, from: string): string {
  if (agent.startsWith("file:")) return fileURLToPath(agent);
  const beside = path.resolve(path.dirname(from), agent);
  return existsSync(beside) ? beside : path.resolve(agent);
}

function agentIn(module: Record<string, unknown>): AgentDefinition {
  if (isAgent(module.default)) return module.default;
  const name = Object.keys(module).find((key) => isAgent(module[key]));
  if (name !== undefined)
    throw new DisabledError(
      `the file exports its agent as ${name}; LiveKit expects it as the default export: export default ${name}`,
    );
  throw new NoAgentError(
    "the file has no default export made by defineAgent({ prewarm, entry }) of @livekit/agents",
  );
}

function assertRequired(requires: unknown = []): void {
  if (!Array.isArray(requires))
    throw new Error("the requires export is invalid: it must be a list of environment variables.");
  const missing = requires.filter((name) => !process.env[name]);
  if (missing.length > 0) throw new DisabledError(`${missing.join(" and ")} must be set`);
}

/** The file's `failover` export overrides the settings, unless these disable restoring. */
function failoverOf(
  module: Record<string, unknown>,
  start: ProcessStart,
  warn: (faults: object, message: string) => void,
): ProcessFailover {
  const parsed = FailoverSettings.safeParse(module.failover ?? {});
  if (!parsed.success) {
    warn({ faults: parsed.error.issues }, "ignored the file's invalid failover export; using the settings");
    return start.failover;
  }
  const { restore = true, message = start.failover.message } = parsed.data;
  return { restore: restore && start.failover.restore, message };
}

/** The name of the package that an import did not find; undefined for any other error. */
function missingPackage(error: unknown): string | undefined {
  const { code } = error as { code?: string };
  if (code !== "ERR_MODULE_NOT_FOUND" && code !== "MODULE_NOT_FOUND") return undefined;
  return /^Cannot find (?:package|module) '((?:@[^/']+\/)?[^@./'][^/']*)/.exec(messageOf(error))?.[1];
}
