// Runs one agent-host on settings from the environment.
import { randomBytes } from "node:crypto";
import os from "node:os";
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { ConfigError } from "../../libs/process/config.ts";
import { startAgentHost } from "./agent-host.ts";
import { agentHostSettings } from "./config.ts";
import { findProfiles } from "./find-profiles.ts";
import { measureHost } from "./host-metrics.ts";
import { launchStageProcess } from "./stage-link.ts";

/** Past the drain's own limit, for what follows it. */
const AFTER_DRAIN_MS = 15_000;
const drainMs = Number(process.env.GREENROOM_DRAIN_MS ?? agentHostSettings.GREENROOM_DRAIN_MS.default);
/** The longest that a timer can be set to: one that waits for its sessions isn't hurried. */
const FOR_EVER_MS = 2 ** 31 - 1;
const stopMs =
  process.env.GREENROOM_DRAIN_END === "wait" ? FOR_EVER_MS : Math.min(drainMs + AFTER_DRAIN_MS, FOR_EVER_MS);

const run = { settings: agentHostSettings, stopMs };

await runOnBus("agent-host", run, async ({ config, log, clock, metrics, quit, connect }) => {
  const profiles = await findProfiles(config.GREENROOM_AGENTS_DIR).catch((error: unknown) => {
    throw new ConfigError([
      `GREENROOM_AGENTS_DIR: the folder ${config.GREENROOM_AGENTS_DIR} can't be read: ${error}`,
    ]);
  });
  if (profiles.length === 0)
    log.warn({ folder: config.GREENROOM_AGENTS_DIR }, "there is no agent file in this folder");
  const livekit = connectLiveKit(config);
  if (livekit === undefined)
    log.warn("no LiveKit is configured: agents are kept warm, but none can join a room");
  const bus = await connect(measureHost(metrics));
  const random = () => randomBytes(4).toString("hex");
  const hostId =
    config.GREENROOM_HOST_ID ??
    `${os
      .hostname()
      .replace(/[^A-Za-z0-9_-]/g, "-")
      .slice(0, 40)}-${random()}`;
  const host = await startAgentHost({
    bus,
    clock,
    log,
    livekit,
    hostId,
    pid: process.pid,
    profiles,
    launch: launchStageProcess(log),
    newId: () => `${random()}${random()}`,
    onSupplanted: (why) => quit(why, 1),
    settings: {
      maxAgents: config.GREENROOM_MAX_AGENTS,
      poolMin: config.GREENROOM_POOL_MIN,
      stageMemoryMb: config.GREENROOM_STAGE_MEMORY_MB,
      stagePingMs: config.GREENROOM_STAGE_PING_MS,
      spareStages: config.GREENROOM_SPARE_STAGES,
      userLeftMs: config.GREENROOM_USER_LEFT_MS,
      logLevel: config.GREENROOM_LOG_LEVEL,
      handover: {
        restore: config.GREENROOM_RESTORE_CONVERSATION,
        sentence: config.GREENROOM_HANDOVER_SENTENCE,
      },
    },
  });
  log.info(
    { host: hostId, epoch: host.epoch, profiles: profiles.map(({ profile }) => profile) },
    "registered",
  );
  return { stop: () => host.drain(config.GREENROOM_DRAIN_MS, config.GREENROOM_DRAIN_END) };
});
