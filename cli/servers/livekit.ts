// Configuration and API key of a local livekit-server.
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
  /** The receiver of webhooks. Absent: LiveKit sends none. */
  readonly webhookUrl?: string;
  /** By default only warnings, because LiveKit logs many lines per participant. */
  readonly logLevel?: "debug" | "info" | "warn";
}

/**
 * Signals are on loopback, and so is the address for media, so that only browsers on this machine can connect. The configuration is
 * JSON, which is valid YAML.
 */
export const livekitConfig = (layout: LiveKitLayout, ports: { udp: number; tcp: number }): object => ({
  port: layout.port,
  bind_addresses: ["127.0.0.1"],
  rtc: {
    udp_port: ports.udp,
    tcp_port: ports.tcp,
    node_ip: "127.0.0.1",
    use_external_ip: false,
    // By default LiveKit receives no media on loopback, and each join loses up to 100 ms to retries.
    // LiveKit still uses the other network interfaces, because Firefox does not connect to loopback addresses.
    enable_loopback_candidate: true,
  },
  keys: { [layout.key.apiKey]: layout.key.apiSecret },
  logging: { level: layout.logLevel ?? "warn", pion_level: "error", json: true },
  ...(layout.webhookUrl === undefined
    ? {}
    : { webhook: { api_key: layout.key.apiKey, urls: [layout.webhookUrl] } }),
});

/** Writes the configuration, readable by its owner only because of the secret. @returns its path */
export async function writeLiveKitConfig(layout: LiveKitLayout): Promise<string> {
  await mkdir(layout.dir, { recursive: true });
  const file = join(layout.dir, "livekit.yaml");
  const config = livekitConfig(layout, { udp: await freeUdpPort(), tcp: await freePort() });
  await writePrivate(file, `${JSON.stringify(config, null, 2)}\n`);
  return file;
}

/** Whether livekit-server accepts clients: it then answers OK at its root. */
export const isLiveKitReady = (port: number): Promise<boolean> => answersOk(`http://127.0.0.1:${port}/`);

/** The API key of this data directory, created at the first start. */
export async function livekitKey(dir: string): Promise<LiveKitKey> {
  const file = join(dir, "livekit-key.json");
  try {
    const { apiKey, apiSecret } = JSON.parse(await readFile(file, "utf8")) as Partial<LiveKitKey>;
    // livekit-server rejects secrets with less than 32 characters.
    if (apiKey && apiSecret && apiSecret.length >= 32) return { apiKey, apiSecret };
  } catch {
    // Missing or damaged. Nothing needs the old key, since its servers are gone.
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
  // `mode` applies to new files only.
  await chmod(file, 0o600);
}
