// The agent-host's settings.
import os from "node:os";
import { AgentVersion } from "../../libs/contracts/ids.ts";
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/runtime/config.ts";

/** More concurrent loads would slow down running calls. */
const MAX_LOADS = 4;
/** The longest time of a timer, which stands for no limit. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export const agentHostSettings = {
  ...commonSettings,
  GREENROOM_AGENTS_DIR: setting.text(
    "Folder of the agent files. The name of a file is the name of its profile.",
    "agents",
  ),
  GREENROOM_RELOAD_AGENTS: setting.flag(
    "Loads agent files again when a file of their folder, or a `.env` file of their project, changes. `greenroom dev` sets it. Running sessions continue on the old code, and new ones too while the new code does not load.",
  ),
  GREENROOM_AGENTS_VERSION: setting.parsed<string | undefined>(
    "Version of the agent code, at most 64 characters, e.g. a git revision or the tag of an image. Default: a fingerprint of each agent file, the modules of its project that it imports, and the project's package.json, tsconfig.json and lock file.",
    (text) => {
      if (text === "") return undefined;
      const { data, error } = AgentVersion.safeParse(text);
      if (error !== undefined) throw new Error(error.issues.map(({ message }) => message).join("; "));
      return data;
    },
  ),
  GREENROOM_HOST_ID: setting.optionalText(
    "Name of the host. Default: the name of the machine and a random suffix.",
  ),
  GREENROOM_MAX_AGENTS: setting.integer(
    "Maximum number of busy agents on this host, for all profiles together.",
    50,
    1,
    10_000,
  ),
  GREENROOM_POOL_MIN: setting.integer(
    "Number of idle agents for a profile whose file has no `pool`.",
    3,
    0,
    1000,
  ),
  GREENROOM_PROCESS_MEMORY_MB: setting.integer(
    "Memory limit of an agent process in MB. A process above it is killed and replaced. A process above 60 % of the limit accepts no new sessions and is replaced when its last session ends.",
    1500,
    100,
  ),
  GREENROOM_PROCESS_PING_MS: setting.integer(
    "Interval in ms between pings of an agent process.",
    2500,
    50,
    MAX_TIMER_MS,
  ),
  // The limit of LiveKit's own worker, for which a minute of computing is no failure.
  GREENROOM_PROCESS_TIMEOUT_MS: setting.integer(
    "Time in ms after which an agent process that answers no ping is killed. A process that uses no CPU time gets a quarter of this time, and at least three pings.",
    60_000,
    50,
    MAX_TIMER_MS,
  ),
  // A cold start has 30 s. The default is shorter, so that the session gets the reason.
  GREENROOM_PREWARM_TIMEOUT_MS: setting.integer(
    "Maximum time in ms for the `prewarm` of an agent. An agent that takes longer is given up, and its start counts as failed.",
    25_000,
    100,
    MAX_TIMER_MS,
  ),
  GREENROOM_READY_AFTER_MS: setting.integer(
    "Time in ms after which an agent that is in its room and runs without an AgentSession counts as ready. Does not apply to files that call `ready()`.",
    5000,
    0,
    MAX_TIMER_MS,
  ),
  GREENROOM_TRANSCRIPT_DELAY_MS: setting.integer(
    "Time in ms from the arrival of a user until transcripts are sent. A page that still opens would lose earlier ones. Speech does not wait. 0: nothing waits.",
    1000,
    0,
    60_000,
  ),
  GREENROOM_UNHANDLED_REJECTIONS: setting.choice(
    "Treatment of a rejected promise that an agent file does not await: log it and continue, or fail the session.",
    ["log", "fail"],
    "log",
  ),
  GREENROOM_ISOLATION: setting.choice(
    "Isolation of the agents of one profile, unless its file has `isolation` in its `pool`. `process`: each session has a process of its own. `module`: sessions share a process and its packages, and each has its own copy of the file's modules. `shared`: sessions share the modules too.",
    ["process", "module", "shared"],
    "process",
  ),
  GREENROOM_MAX_SESSIONS_PER_PROCESS: setting.integer(
    "Number of sessions after which an agent process is replaced, with `module` or `shared` isolation.",
    1000,
    1,
  ),
  GREENROOM_MIN_PROCESSES_PER_PROFILE: setting.integer(
    "Number of agent processes that share the idle agents of a profile. With 2, a warm agent is left when one process dies.",
    2,
    1,
    100,
  ),
  GREENROOM_USER_REJOIN_GRACE_MS: setting.integer(
    "Time in ms after which a session ends when its last user has left.",
    10_000,
    0,
  ),
  GREENROOM_RESTORE_CONVERSATION: setting.flag(
    "Stores the conversation while a session runs, so that the next agent can continue it. With false, no conversation is stored.",
    true,
  ),
  GREENROOM_FAILOVER_MESSAGE: setting.sentence(
    "Sentence with which an agent continues a conversation after a failover. Empty: none.",
    "Sorry, I was cut off for a moment.",
  ),
  GREENROOM_DRAIN_TIMEOUT_MS: setting.integer(
    "Maximum time in ms for which running sessions may continue after SIGTERM.",
    600_000,
    0,
  ),
  GREENROOM_DRAIN_ON_TIMEOUT: setting.choice(
    "Treatment of sessions that still run after GREENROOM_DRAIN_TIMEOUT_MS: migrate them to other hosts, or wait for them.",
    ["migrate", "wait"],
    "migrate",
  ),
};
export type AgentHostConfig = ConfigOf<typeof agentHostSettings>;

export const hostSettingsOf = (config: AgentHostConfig) => ({
  maxAgents: config.GREENROOM_MAX_AGENTS,
  poolMin: config.GREENROOM_POOL_MIN,
  processMemoryMb: config.GREENROOM_PROCESS_MEMORY_MB,
  processPingMs: config.GREENROOM_PROCESS_PING_MS,
  processTimeoutMs: config.GREENROOM_PROCESS_TIMEOUT_MS,
  prewarmTimeoutMs: config.GREENROOM_PREWARM_TIMEOUT_MS,
  minProcesses: config.GREENROOM_MIN_PROCESSES_PER_PROFILE,
  userRejoinGraceMs: config.GREENROOM_USER_REJOIN_GRACE_MS,
  logLevel: config.GREENROOM_LOG_LEVEL,
  failover: {
    restore: config.GREENROOM_RESTORE_CONVERSATION,
    message: config.GREENROOM_FAILOVER_MESSAGE,
  },
  unhandledRejections: config.GREENROOM_UNHANDLED_REJECTIONS,
  isolation: config.GREENROOM_ISOLATION,
  reloadAgents: config.GREENROOM_RELOAD_AGENTS,
  agentsVersion: config.GREENROOM_AGENTS_VERSION,
  maxSessionsPerProcess: config.GREENROOM_MAX_SESSIONS_PER_PROCESS,
  concurrentLoads: Math.max(1, Math.min(MAX_LOADS, os.availableParallelism() - 1)),
  readyAfterMs: config.GREENROOM_READY_AFTER_MS,
  transcriptDelayMs: config.GREENROOM_TRANSCRIPT_DELAY_MS,
});

/** The drain that SIGTERM begins. */
export const drainOf = (config: AgentHostConfig) => ({
  limitMs: config.GREENROOM_DRAIN_TIMEOUT_MS,
  onDeadline: config.GREENROOM_DRAIN_ON_TIMEOUT,
});

/** The time for the last steps of a stop, after the drain. */
const AFTER_DRAIN_MS = 15_000;

/**
 * The longest time that a stop may take. It has to be known before the settings are read. An invalid setting ends the
 * start anyway, and an empty one has its default.
 */
export function stopMsOf(env: Readonly<Record<string, string | undefined>>): number {
  const { GREENROOM_DRAIN_TIMEOUT_MS: drain, GREENROOM_DRAIN_ON_TIMEOUT: end } = agentHostSettings;
  if ((env.GREENROOM_DRAIN_ON_TIMEOUT || end.default) === "wait") return MAX_TIMER_MS;
  return Math.min(Number(env.GREENROOM_DRAIN_TIMEOUT_MS || drain.default) + AFTER_DRAIN_MS, MAX_TIMER_MS);
}
