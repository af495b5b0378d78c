// The agent-host's settings.
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/runtime/config.ts";

export const agentHostSettings = {
  ...commonSettings,
  GREENROOM_AGENTS_DIR: setting.text(
    "Folder of the agent files. The name of a file is the name of its profile.",
    "agents",
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
    "Interval in ms between pings of an agent process. After three missed pings the process is killed.",
    600,
    50,
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
  minProcesses: config.GREENROOM_MIN_PROCESSES_PER_PROFILE,
  userRejoinGraceMs: config.GREENROOM_USER_REJOIN_GRACE_MS,
  logLevel: config.GREENROOM_LOG_LEVEL,
  failover: {
    restore: config.GREENROOM_RESTORE_CONVERSATION,
    message: config.GREENROOM_FAILOVER_MESSAGE,
  },
});

/** The drain that SIGTERM begins. */
export const drainOf = (config: AgentHostConfig) => ({
  limitMs: config.GREENROOM_DRAIN_TIMEOUT_MS,
  onDeadline: config.GREENROOM_DRAIN_ON_TIMEOUT,
});

/** The time for the last steps of a stop, after the drain. */
const AFTER_DRAIN_MS = 15_000;
/** The longest time of a timer, for a host that waits for its sessions without a limit. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * The longest time that a stop may take. It has to be known before the settings are read. An invalid setting ends the
 * start anyway, and an empty one has its default.
 */
export function stopMsOf(env: Readonly<Record<string, string | undefined>>): number {
  const { GREENROOM_DRAIN_TIMEOUT_MS: drain, GREENROOM_DRAIN_ON_TIMEOUT: end } = agentHostSettings;
  if ((env.GREENROOM_DRAIN_ON_TIMEOUT || end.default) === "wait") return MAX_TIMER_MS;
  return Math.min(Number(env.GREENROOM_DRAIN_TIMEOUT_MS || drain.default) + AFTER_DRAIN_MS, MAX_TIMER_MS);
}
