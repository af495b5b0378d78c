// livekit-server as a child process: its configuration and its key.
import { randomBytes } from "node:crypto";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { answersOk } from "./nats.ts";
import { freePort, freeUdpPort } from "./ports.ts";

export interface LiveKitKey {
  readonly apiKey: string;
  readonly apiSecret: string;
}

export interface LiveKitLayout {
  readonly dir: string;
  readonly port: number;
  readonly key: LiveKitKey;
  /** Where it tells what happens in rooms; none: it doesn't. */
  readonly webhookUrl?: string;
  /** Its informative lines are many for each participant; by default only what is wrong is logged. */
  readonly logLevel?: "debug" | "info" | "warn";
}

/**
 * Everything is on loopback, the media too: a browser on this machine reaches it, and nobody else does. JSON
 * is YAML, so what livekit-server reads is written as that.
 */
export const livekitConfig = (layout: LiveKitLayout, ports: { udp: number; tcp: number }): object => ({
  port: layout.port,
  bind_addresses: ["127.0.0.1"],
  rtc: {
    udp_port: ports.udp,
    tcp_port: ports.tcp,
    node_ip: "127.0.0.1",
    use_external_ip: false,
  },
  keys: { [layout.key.apiKey]: layout.key.apiSecret },
  logging: { level: layout.logLevel ?? "warn", pion_level: "error", json: true },
  ...(layout.webhookUrl === undefined
    ? {}
    : { webhook: { api_key: layout.key.apiKey, urls: [layout.webhookUrl] } }),
});

/** Writes the configuration, readable by its owner only: it holds the secret. @returns its path */
export async function writeLiveKitConfig(layout: LiveKitLayout): Promise<string> {
  await mkdir(layout.dir, { recursive: true });
  const file = join(layout.dir, "livekit.yaml");
  const config = livekitConfig(layout, { udp: await freeUdpPort(), tcp: await freePort() });
  await writePrivate(file, `${JSON.stringify(config, null, 2)}\n`);
  return file;
}

/** livekit-server answers OK at its root as soon as it takes clients. */
export const isLiveKitReady = (port: number): Promise<boolean> => answersOk(`http://127.0.0.1:${port}/`);

/** The key of this data directory, made at the first start. */
export async function livekitKey(dir: string): Promise<LiveKitKey> {
  const file = join(dir, "livekit-key.json");
  try {
    const { apiKey, apiSecret } = JSON.parse(await readFile(file, "utf8")) as Partial<LiveKitKey>;
    // livekit-server refuses a secret under 32 characters.
    if (apiKey && apiSecret && apiSecret.length >= 32) return { apiKey, apiSecret };
  } catch {
    // Missing or damaged: nothing depends on an old key once its servers are gone.
  }
  const key = newLiveKitKey();
  await mkdir(dir, { recursive: true });
  await writePrivate(file, `${JSON.stringify(key)}\n`);
  return key;
}

export const newLiveKitKey = (): LiveKitKey => ({
  apiKey: `API${randomBytes(8).toString("hex")}`,
  apiSecret: randomBytes(32).toString("base64url"),
});

async function writePrivate(file: string, text: string): Promise<void> {
  await writeFile(file, text, { mode: 0o600 });
  // The mode above counts for new files only.
  await chmod(file, 0o600);
}
