// Runs one agent-host on settings from the environment.
import { randomBytes } from "node:crypto";
import os from "node:os";
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { joinOnce } from "../../libs/livekit/join-once.ts";
import { ConfigError } from "../../libs/runtime/config.ts";
import { startAgentHost } from "./agent-host.ts";
import { agentHostSettings, drainOf, hostSettingsOf, stopMsOf } from "./config.ts";
import { measureHost } from "./host-metrics.ts";
import { LiveKitProof } from "./livekit-proof.ts";
import { findProfiles } from "./pool/find-profiles.ts";
import { launchAgentProcess } from "./pool/supervised-process.ts";
import { watchAgentFiles } from "./pool/watch-agent-files.ts";

/** Agents join through the proxy, and the proof would not. The answer of LiveKit's API is its proof then. */
const isProxied = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].some((name) => process.env[name]);

await runOnBus({
  name: "agent-host",
  settings: agentHostSettings,
  stopMs: stopMsOf,
  async start({ config, log, clock, metrics, quit, connect }) {
    const profiles = await findProfiles(config.GREENROOM_AGENTS_DIR, (file, reason) =>
      log.warn(
        { file, reason },
        "ignored an agent file whose name can't be the name of a profile; rename it",
      ),
    ).catch((error: unknown) => {
      throw new ConfigError([
        `GREENROOM_AGENTS_DIR: the folder ${config.GREENROOM_AGENTS_DIR} can't be read: ${error}`,
      ]);
    });
    if (profiles.length === 0) log.warn({ folder: config.GREENROOM_AGENTS_DIR }, "found no agent files");
    const livekit = connectLiveKit(config);
    if (livekit === undefined) log.warn("LiveKit is not configured; this host offers no agents");
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
      proof: new LiveKitProof({ clock, log, livekit, join: isProxied ? async () => {} : joinOnce }),
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
    const folder = config.GREENROOM_AGENTS_DIR;
    const reload = async (changed: ReadonlySet<string>) => {
      log.info({ files: [...changed] }, "agent files have changed; loading them again");
      host.reload(await findProfiles(folder), changed);
    };
    const stopWatching = config.GREENROOM_RELOAD_AGENTS
      ? watchAgentFiles(folder, profiles, reload, (error) =>
          log.warn({ error }, "failed to follow the agent files"),
        )
      : undefined;
    const { limitMs, onDeadline } = drainOf(config);
    return {
      stop: async () => {
        await stopWatching?.();
        await host.drain(limitMs, onDeadline);
      },
    };
  },
});
