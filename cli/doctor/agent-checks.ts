// Checks of agent files and of their keys. Each file is loaded in an agent process, exactly like on a host.
import { messageOf } from "../../libs/contracts/errors.ts";
import { PoolSettings } from "../../libs/contracts/fleet/pool.ts";
import { silentLog } from "../../libs/runtime/log.ts";
import { findProfiles, type ProfileFile } from "../../services/agent-host/pool/find-profiles.ts";
import { launchAgentProcess } from "../../services/agent-host/pool/supervised-process.ts";
import { agentCodeIn } from "./agent-code.ts";
import { check, type Finding, failure, note, ok, skipped, warning } from "./check.ts";
import { type SharedVariable, sharedVariables } from "./module-state.ts";
import { type KeyFacts, providersIn, tryKey } from "./provider-keys.ts";
import type { Sources } from "./sources.ts";

export type AgentFacts = { readonly profile: string; readonly file: string } & (
  | {
      readonly outcome: "warm";
      readonly tookMs: number;
      readonly poolFaults: readonly string[];
      /** Variables of the file and its project that its sessions share. */
      readonly sharedVariables: readonly SharedVariable[];
    }
  | { readonly outcome: "failed"; readonly reason: string }
  | { readonly outcome: "disabled"; readonly reason: string; readonly isUsed?: boolean }
  | { readonly outcome: "no agent" }
);

const LOAD_MS = 120_000;
/** More concurrent loads would slow each other down. */
const CONCURRENCY = 2;

export const agentsCheck = check({
  name: "agents",
  title: "agent files",
  timeoutMs: 5 * 60_000,
  todo: "Name a folder of agent files that this user may read: greenroom doctor <folder>, or GREENROOM_AGENTS_DIR.",
  observe: async (
    { agentsDir: folder, usedProfiles }: Sources,
    signal,
  ): Promise<{ folder: string; agents: AgentFacts[] }> => {
    const used = await usedProfiles();
    const files = await findProfiles(folder);
    const agents: AgentFacts[] = [];
    const next = async (): Promise<void> => {
      for (let file = files.shift(); file !== undefined && !signal.aborted; file = files.shift()) {
        const facts = await loadAgent(file, signal);
        const isUsed = used?.has(file.profile) ?? true;
        agents.push(facts.outcome === "disabled" ? { ...facts, isUsed } : facts);
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, next));
    return { folder, agents: agents.sort((a, b) => a.profile.localeCompare(b.profile)) };
  },
  judge({ folder, agents }: { folder: string; agents: readonly AgentFacts[] }): Finding[] {
    if (agents.length > 0) return agents.flatMap(agentFindings);
    return [
      warning(
        `No agent file in ${folder}.`,
        "Add one, for example support.ts, or set GREENROOM_AGENTS_DIR to the folder of your agent files.",
      ),
    ];
  },
});

function agentFindings(agent: AgentFacts): Finding[] {
  const { profile, file } = agent;
  switch (agent.outcome) {
    case "failed":
      return [
        failure(`${profile} (${file}): ${agent.reason}.`, "Fix the file. No host can run this profile."),
      ];
    case "no agent":
      return [
        warning(
          `${file} has no agent, so it is no profile.`,
          "Begin the name of a helper file with _, then it is not loaded.",
        ),
      ];
    case "disabled":
      if (agent.isUsed === false) return [note(`${profile} is disabled, and unused: ${agent.reason}.`)];
      return [
        warning(`${profile} is disabled: ${agent.reason}.`, "Provide what it needs, or remove the file."),
      ];
    case "warm":
      return agent.poolFaults.length === 0
        ? [ok(`${profile} loaded and prewarmed in ${Math.round(agent.tookMs)} ms.`), ...sharedFindings(agent)]
        : [
            failure(
              `${profile}: invalid pool export: ${agent.poolFaults.join("; ")}.`,
              `Fix it in ${file}: { min, hot, max, perProcess }, all integers. Until then, hosts use defaults.`,
            ),
          ];
  }
}

function sharedFindings(agent: Extract<AgentFacts, { outcome: "warm" }>): Finding[] {
  if (agent.sharedVariables.length === 0) return [];
  const names = agent.sharedVariables.map(({ file, name, line }) => `${name} (${file}:${line})`).join(", ");
  return [
    warning(
      `${agent.profile} has shared isolation, and variables in its modules: ${names}. All its sessions share them.`,
      'If they hold data of a session, set isolation to "module" or "process" in the pool export.',
    ),
  ];
}

/** Valid values for fields that a file omits. */
const POOL = { min: 0, hot: 0, max: 1, perProcess: 1 };

export function poolFaultsOf(pool: unknown): string[] {
  const parsed = PoolSettings.safeParse({ ...POOL, ...(pool as object) });
  return parsed.success
    ? []
    : parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
}

function loadAgent({ profile, file }: ProfileFile, signal: AbortSignal): Promise<AgentFacts> {
  return new Promise((resolve) => {
    const began = performance.now();
    let poolFaults: string[] = [];
    let isShared = false;
    const end = (facts: AgentFacts) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", aborted);
      link.kill();
      resolve(facts);
    };
    const failed = (reason: string) =>
      end({ profile, file, outcome: "failed", reason: reason.replace(/\.$/, "") });
    const aborted = () => failed("no time was left to load it");
    const timer = setTimeout(() => failed(`it did not load within ${LOAD_MS / 1000} s`), LOAD_MS);
    const link = launchAgentProcess(silentLog)(
      {
        profile,
        file,
        host: "doctor",
        livekitUrl: "ws://doctor.invalid",
        livekitApiKey: "doctor",
        livekitApiSecret: "the-doctor-joins-no-room-with-this",
        simulated: true,
        logLevel: "error",
        failover: { restore: false, message: "" },
        unhandledRejections: "log",
        readyAfterMs: 5000,
        transcriptDelayMs: 1000,
        isolation: "process",
      },
      {
        onMessage(message) {
          if (message.type === "loaded") {
            poolFaults = poolFaultsOf(message.pool);
            isShared = message.isolation === "shared";
            link.send({ type: "warm", slot: "doctor" });
          } else if (message.type === "warm") {
            const tookMs = performance.now() - began;
            const warm = { profile, file, outcome: "warm", tookMs, poolFaults } as const;
            (isShared ? sharedVariables(file) : Promise.resolve([])).then(
              (variables) => end({ ...warm, sharedVariables: variables }),
              (error: unknown) => failed(messageOf(error)),
            );
          } else if (message.type === "disabled")
            end({ profile, file, outcome: "disabled", reason: message.reason });
          else if (message.type === "no_agent") end({ profile, file, outcome: "no agent" });
          else if (message.type === "load_failed") failed(message.error);
          else if (message.type === "warm_failed") failed(`its prewarm failed: ${message.error}`);
        },
        onExit: failed,
      },
    );
    signal.addEventListener("abort", aborted, { once: true });
  });
}

export const keysCheck = check({
  name: "keys",
  title: "keys of providers",
  timeoutMs: 60_000,
  todo: "Check that the agent files can be read.",
  observe: async (
    { agentEnv: env, agentsDir, isOnline, usedProfiles }: Sources,
    signal,
  ): Promise<KeyFacts[]> => {
    const used = await usedProfiles();
    return await Promise.all(
      providersIn(await agentCodeIn(agentsDir), env).map(async ({ provider, usedBy }) => ({
        name: provider.key,
        provider: provider.name,
        usedBy,
        isUsed: used === undefined || usedBy.some((profile) => used.has(profile)),
        isSet: Boolean(env[provider.key]),
        answer:
          isOnline && env[provider.key]
            ? await tryKey(provider, env, signal).catch((error: unknown) => ({
                kind: "unreachable" as const,
                reason: messageOf(error),
              }))
            : undefined,
      })),
    );
  },
  judge: (keys: readonly KeyFacts[]): Finding[] =>
    keys.length === 0 ? [ok("No agent file uses a provider that needs a key.")] : keys.map(keyFinding),
});

function keyFinding({ name, provider, usedBy, isUsed, isSet, answer }: KeyFacts): Finding {
  const profiles = usedBy.join(", ");
  if (!isSet && isUsed === false)
    return note(`${name} is not set. ${profiles} requires it, and nobody has used that profile.`);
  if (!isSet)
    return warning(`${name} is not set, but required by ${profiles}.`, `Set it to a key of ${provider}.`);
  if (answer === undefined)
    return skipped(`${name} is set (for ${profiles}). greenroom doctor --online tests it.`);
  switch (answer.kind) {
    case "accepted":
      return ok(`${provider} accepts ${name} (for ${profiles}).`);
    case "rejected":
      return failure(
        `${provider} rejects ${name} (HTTP ${answer.status}).`,
        `Set it to a valid key of ${provider}.`,
      );
    case "unexpected":
      return warning(
        `${provider} answered HTTP ${answer.status} to a request with ${name}.`,
        "Check the provider's status page. Calls may fail.",
      );
    case "unreachable":
      return failure(
        `Failed to reach ${provider}: ${answer.reason}.`,
        "Check that this machine can reach the Internet, or set the provider's base URL.",
      );
  }
}
