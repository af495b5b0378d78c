// The agent-host's settings.
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/runtime/config.ts";

export const agentHostSettings = {
  ...commonSettings,
  GREENROOM_AGENTS_DIR: setting.text(
    "The folder of agent files, each a profile by its file's name.",
    "agents",
  ),
  GREENROOM_HOST_ID: setting.optionalText(
    "The host's name; by default the machine's name and a random part.",
  ),
  GREENROOM_MAX_AGENTS: setting.integer(
    "Agents that may be busy on this host at once, of all profiles.",
    50,
    1,
    10_000,
  ),
  GREENROOM_POOL_MIN: setting.integer("Idle agents of a profile whose file says nothing.", 3, 0, 1000),
  GREENROOM_PROCESS_MEMORY_MB: setting.integer(
    "A stage process that grows past this is killed and replaced; past six tenths of it, it takes no new sessions and is replaced once those that run are over.",
    1500,
    100,
  ),
  GREENROOM_PROCESS_PING_MS: setting.integer(
    "How often a stage is asked whether it lives; three misses end it.",
    600,
    50,
  ),
  GREENROOM_MIN_PROCESSES_PER_PROFILE: setting.integer(
    "Stage processes that a profile's idle agents are spread over, so that one's death leaves a warm agent in another.",
    2,
    1,
    100,
  ),
  GREENROOM_USER_REJOIN_GRACE_MS: setting.integer(
    "How long after its last user left a session ends.",
    10_000,
    0,
  ),
  GREENROOM_RESTORE_CONVERSATION: setting.flag(
    "Keeps what was said while a session runs, so that the next agent goes on from it; false: nothing is stored.",
    true,
  ),
  GREENROOM_FAILOVER_MESSAGE: setting.sentence(
    "What an agent says first that goes on with a conversation; empty: nothing.",
    "Sorry, I was cut off for a moment.",
  ),
  GREENROOM_DRAIN_TIMEOUT_MS: setting.integer(
    "How long running sessions may go on after SIGTERM.",
    600_000,
    0,
  ),
  GREENROOM_DRAIN_ON_TIMEOUT: setting.choice(
    "What becomes of those that are left by then: another host takes over, or they are waited for.",
    ["handover", "wait"],
    "handover",
  ),
};
export type AgentHostConfig = ConfigOf<typeof agentHostSettings>;

export const hostSettingsOf = (config: AgentHostConfig) => ({
  maxAgents: config.GREENROOM_MAX_AGENTS,
  poolMin: config.GREENROOM_POOL_MIN,
  stageMemoryMb: config.GREENROOM_PROCESS_MEMORY_MB,
  stagePingMs: config.GREENROOM_PROCESS_PING_MS,
  spareStages: config.GREENROOM_MIN_PROCESSES_PER_PROFILE,
  userLeftMs: config.GREENROOM_USER_REJOIN_GRACE_MS,
  logLevel: config.GREENROOM_LOG_LEVEL,
  failover: {
    restore: config.GREENROOM_RESTORE_CONVERSATION,
    message: config.GREENROOM_FAILOVER_MESSAGE,
  },
});

/** What SIGTERM begins. */
export const drainOf = (config: AgentHostConfig) => ({
  limitMs: config.GREENROOM_DRAIN_TIMEOUT_MS,
  onDeadline: config.GREENROOM_DRAIN_ON_TIMEOUT,
});

/** Past the drain's own limit, for what follows it. */
const AFTER_DRAIN_MS = 15_000;
/** The longest that a timer can be set to: one that waits for its sessions isn't hurried. */
const FOR_EVER_MS = 2 ** 31 - 1;

/**
 * How long a stop may take. It counts before settings are read; those that can't be read end the start. One that is set
 * to nothing has its default, as everywhere.
 */
export function stopMsOf(env: Readonly<Record<string, string | undefined>>): number {
  const { GREENROOM_DRAIN_TIMEOUT_MS: drain, GREENROOM_DRAIN_ON_TIMEOUT: end } = agentHostSettings;
  if ((env.GREENROOM_DRAIN_ON_TIMEOUT || end.default) === "wait") return FOR_EVER_MS;
  return Math.min(Number(env.GREENROOM_DRAIN_TIMEOUT_MS || drain.default) + AFTER_DRAIN_MS, FOR_EVER_MS);
}
