// Opens the gateway's port, or reports why this is impossible.
import type { FastifyInstance } from "fastify";
import { ConfigError } from "../../../libs/runtime/config.ts";

/** @throws ConfigError for an unavailable port or address, where a retry would not help */
export async function listen(app: FastifyInstance, host: string, port: number): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    const reason = reasonOf((error as NodeJS.ErrnoException).code, host, port);
    if (reason === undefined) throw error;
    throw new ConfigError([reason]);
  }
}

function reasonOf(code: string | undefined, host: string, port: number): string | undefined {
  switch (code) {
    case "EADDRINUSE":
      return `GREENROOM_PORT: port ${port} on ${host} is in use by another program. Stop that program, or set GREENROOM_PORT to a free port.`;
    case "EACCES":
      return `GREENROOM_PORT: this user may not open port ${port}. Use a port above 1023.`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return `GREENROOM_BIND: this machine has no address ${host}. Use 127.0.0.1 for this machine only, or 0.0.0.0 for all addresses.`;
    default:
      return undefined;
  }
}
