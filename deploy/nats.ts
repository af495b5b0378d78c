// nats-server as a child process: its configuration, and when it is ready.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "./ports.ts";

export interface NatsLayout {
  readonly dir: string;
  readonly port: number;
  readonly monitorPort: number;
  /** How long acknowledged messages may wait for the disk, as "1s"; "always" waits for it each time. */
  readonly syncInterval: string;
}

/** Over the sum of every stream's and bucket's limit: JetStream reserves those when they are made. */
export const MAX_FILE_STORE_BYTES = 8 * 1024 ** 3;

/**
 * Durations are quoted: nats-server takes `sync_interval: 2m` without quotes as something else and only warns.
 * The short pings make it notice a dead client in seconds instead of minutes.
 */
export const natsConfigText = (layout: NatsLayout): string => `# Written by Greenroom at each start.
server_name: greenroom
listen: "127.0.0.1:${layout.port}"
http: "127.0.0.1:${layout.monitorPort}"
pid_file: ${JSON.stringify(join(layout.dir, "nats.pid"))}
max_payload: 256KB
ping_interval: "10s"
ping_max: 2
write_deadline: "5s"
jetstream {
  store_dir: ${JSON.stringify(join(layout.dir, "jetstream"))}
  max_file_store: ${MAX_FILE_STORE_BYTES}
  max_memory_store: 256MB
  sync_interval: ${layout.syncInterval === "always" ? "always" : JSON.stringify(layout.syncInterval)}
}
`;

/** Writes the configuration into the directory. @returns its path */
export async function writeNatsConfig(
  layout: Omit<NatsLayout, "monitorPort"> & { monitorPort?: number },
): Promise<{ file: string; monitorUrl: string }> {
  await mkdir(layout.dir, { recursive: true });
  const monitorPort = layout.monitorPort ?? (await freePort());
  const file = join(layout.dir, "nats.conf");
  await writeFile(file, natsConfigText({ ...layout, monitorPort }));
  return { file, monitorUrl: `http://127.0.0.1:${monitorPort}` };
}

/** Whether nats-server takes clients and JetStream is up. */
export async function isNatsReady(monitorUrl: string): Promise<boolean> {
  return await answersOk(`${monitorUrl}/healthz?js-enabled-only=true`);
}

/** Whether a GET is answered with success within a second. */
export async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
