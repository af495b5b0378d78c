// The settings and connections that all checks share.
import { join, resolve } from "node:path";
import { inspectNats, type NatsInspector } from "../../libs/bus/nats/inspect.ts";
import { rollups } from "../../libs/contracts/buckets.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { readConfig } from "../../libs/runtime/config.ts";
import { readProjectEnv } from "../../services/agent-host/agent-process/loading/project-env.ts";
import { projectOf } from "../../services/agent-host/pool/project.ts";
import { findAgents } from "../local/agents-folder.ts";
import { type DoctorConfig, doctorSettings } from "./config.ts";
import { findLocal } from "./find-local.ts";

export interface Sources {
  readonly env: NodeJS.ProcessEnv;
  readonly config: DoctorConfig;
  /** Whether providers may be called, which costs a little. */
  readonly isOnline: boolean;
  /** The folder of the agent files. */
  readonly agentsDir: string;
  /** The environment of agent files: the .env files of their project, and above them the doctor's own. */
  readonly agentEnv: NodeJS.ProcessEnv;
  readonly dataDir: string;
  readonly natsUrl: string;
  /** False if no setting names NATS: `npm start` then runs its own. */
  readonly isNatsGiven: boolean;
  readonly monitorUrl: string | undefined;
  readonly isLiveKitGiven: boolean;
  readonly livekit: LiveKit | undefined;
  /** The profiles of the sessions of the last 90 days; undefined without NATS. */
  usedProfiles(): Promise<ReadonlySet<string> | undefined>;
  /** Connects at the first call. @throws GreenroomError */
  nats(): Promise<NatsInspector>;
  close(): Promise<void>;
}

const DEFAULT_NATS = "nats://127.0.0.1:4222";

/**
 * Replaces invalid settings by their defaults, so that everything else can be checked. The check of the settings
 * reports them.
 */
export async function openSources(
  env: NodeJS.ProcessEnv,
  { isOnline = false, folder }: { isOnline?: boolean; folder?: string | undefined } = {},
): Promise<Sources> {
  const agentsDir = folder ?? (env.GREENROOM_AGENTS_DIR || (await findAgents(undefined)).folder);
  const config = readConfig(doctorSettings, validOnly(env), Object.keys(env));
  const dataDir = resolve(config.GREENROOM_DATA_DIR);
  const local = await findLocal(dataDir);
  const natsUrl = config.NATS_URL ?? local.natsUrl ?? DEFAULT_NATS;
  const livekit = connectLiveKit({
    ...config,
    ...(config.LIVEKIT_URL !== undefined || local.livekit === undefined
      ? {}
      : {
          LIVEKIT_URL: local.livekit.url,
          LIVEKIT_API_KEY: local.livekit.apiKey,
          LIVEKIT_API_SECRET: local.livekit.apiSecret,
        }),
  });
  let inspector: Promise<NatsInspector> | undefined;
  const nats = () => {
    inspector ??= inspectNats(natsUrl, "greenroom-doctor");
    return inspector;
  };
  return {
    env,
    agentsDir,
    agentEnv: { ...readProjectEnv(projectOf(join(resolve(agentsDir), "_"))), ...env },
    config,
    isOnline,
    dataDir,
    natsUrl,
    isNatsGiven: config.NATS_URL !== undefined,
    monitorUrl:
      config.GREENROOM_NATS_MONITOR_URL ?? (config.NATS_URL === undefined ? local.monitorUrl : undefined),
    isLiveKitGiven: config.LIVEKIT_URL !== undefined,
    livekit,
    nats,
    async usedProfiles() {
      const subjects = await nats()
        .then((open) => open.subjects(`KV_${rollups.name}`, `$KV.${rollups.name}.>`))
        .catch(() => undefined);
      if (subjects === undefined) return undefined;
      // Keys are <tenant>.<profile>.<minute>.
      const used = new Set(subjects.map((subject) => subject.split(".")[3] ?? ""));
      return env.GREENROOM_DEFAULT_PROFILE ? used.add(env.GREENROOM_DEFAULT_PROFILE) : used;
    },
    async close() {
      await inspector?.then((open) => open.close()).catch(() => {});
    },
  };
}

function validOnly(env: NodeJS.ProcessEnv): Record<string, string | undefined> {
  const kept: Record<string, string | undefined> = {};
  for (const [name, { schema }] of Object.entries(doctorSettings)) {
    if (env[name] !== undefined && env[name] !== "" && schema.safeParse(env[name]).success)
      kept[name] = env[name];
  }
  return kept;
}
