// Runs one agent-host on settings from the environment.
import { randomBytes } from "node:crypto";
import os from "node:os";
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { ConfigError } from "../../libs/runtime/config.ts";
import { startAgentHost } from "./agent-host.ts";
import { agentHostSettings, drainOf, hostSettingsOf, stopMsOf } from "./config.ts";
import { measureHost } from "./host-metrics.ts";
import { findProfiles } from "./pool/find-profiles.ts";
import { launchAgentProcess } from "./pool/supervised-process.ts";

await runOnBus({
  name: "agent-host",
  settings: agentHostSettings,
  stopMs: stopMsOf,
  async start({ config, log, clock, metrics, quit, connect }) {
    const profiles = await findProfiles(config.GREENROOM_AGENTS_DIR).catch((error: unknown) => {
      throw new ConfigError([
        `GREENROOM_AGENTS_DIR: the folder ${config.GREENROOM_AGENTS_DIR} can't be read: ${error}`,
      ]);
    });
    if (profiles.length === 0) log.warn({ folder: config.GREENROOM_AGENTS_DIR }, "found no agent files");
    const livekit = connectLiveKit(config);
    if (livekit === undefined)
      log.warn("LiveKit is not configured; agents are kept warm but cannot join a room");
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
      launch: launchAgentProcess(log),
      newId: () => `${random()}${random()}`,
      onSupplanted: (reason) => quit(reason, 1),
      settings: hostSettingsOf(config),
    });
    log.info(
      { host: hostId, epoch: host.epoch, profiles: profiles.map(({ profile }) => profile) },
      "registered",
    );
    const { limitMs, onDeadline } = drainOf(config);
    return { stop: () => host.drain(limitMs, onDeadline) };
  },
});
