// The agent-host's settings.
import { commonSettings } from "../../libs/process/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/process/config.ts";

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
  GREENROOM_STAGE_MEMORY_MB: setting.integer(
    "A stage process that grows past this is killed and replaced; past six tenths of it, it takes no new sessions and is replaced once those that run are over.",
    1500,
    100,
  ),
  GREENROOM_STAGE_PING_MS: setting.integer(
    "How often a stage is asked whether it lives; three misses end it.",
    600,
    50,
  ),
  GREENROOM_SPARE_STAGES: setting.integer(
    "Stage processes that a profile's idle agents are spread over, so that one's death leaves a warm agent in another.",
    2,
    1,
    100,
  ),
  GREENROOM_USER_LEFT_MS: setting.integer("How long after its last user left a session ends.", 10_000, 0),
  GREENROOM_RESTORE_CONVERSATION: setting.flag(
    "Keeps what was said while a session runs, so that the next agent goes on from it; false: nothing is stored.",
    true,
  ),
  GREENROOM_HANDOVER_SENTENCE: setting.sentence(
    "What an agent says first that goes on with a conversation; empty: nothing.",
    "Sorry, I was cut off for a moment.",
  ),
  GREENROOM_DRAIN_MS: setting.integer("How long running sessions may go on after SIGTERM.", 600_000, 0),
  GREENROOM_DRAIN_END: setting.choice(
    "What becomes of those that are left by then: another host takes over, or they are waited for.",
    ["handover", "wait"],
    "handover",
  ),
};
export type AgentHostConfig = ConfigOf<typeof agentHostSettings>;
