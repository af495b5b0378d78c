// Finds the NATS and LiveKit that `npm start` runs from a data directory, by their configuration files.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export interface LocalServers {
  readonly natsUrl: string | undefined;
  readonly monitorUrl: string | undefined;
  readonly livekit: { readonly url: string; readonly apiKey: string; readonly apiSecret: string } | undefined;
}

export async function findLocal(dataDir: string): Promise<LocalServers> {
  const names = (await readdir(dataDir).catch((): string[] => [])).sort();
  const nodes = await Promise.all(
    names
      .filter((name) => /^nats(-\d+)?$/.test(name))
      .map((name) => readFile(join(dataDir, name, "nats.conf"), "utf8").catch(() => "")),
  );
  const addresses = nodes.map(natsAddresses).filter(({ listen }) => listen !== undefined);
  return {
    natsUrl: addresses.length === 0 ? undefined : addresses.map(({ listen }) => `nats://${listen}`).join(","),
    monitorUrl: addresses.find(({ http }) => http !== undefined)?.http,
    livekit: livekitOf(await readFile(join(dataDir, "livekit", "livekit.yaml"), "utf8").catch(() => "")),
  };
}

/** Reads a configuration that Greenroom wrote. */
export function natsAddresses(text: string): { listen: string | undefined; http: string | undefined } {
  const top = text.split(/^cluster \{/m)[0] ?? "";
  const listen = /^listen: "([^"]+)"/m.exec(top)?.[1];
  const http = /^http: "([^"]+)"/m.exec(top)?.[1];
  return { listen, http: http === undefined ? undefined : `http://${http}` };
}

/** Greenroom writes the file as JSON, which is valid YAML. Any other file belongs to somebody else. */
export function livekitOf(text: string): LocalServers["livekit"] {
  try {
    const { port, keys } = JSON.parse(text) as { port?: number; keys?: Record<string, string> };
    const [key] = Object.entries(keys ?? {});
    if (port === undefined || key === undefined) return undefined;
    return { url: `ws://127.0.0.1:${port}`, apiKey: key[0], apiSecret: key[1] };
  } catch {
    return undefined;
  }
}
