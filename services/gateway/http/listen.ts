// Opens the gateway's port, or says why it can't be had.
import type { FastifyInstance } from "fastify";
import { ConfigError } from "../../../libs/runtime/config.ts";

/** @throws ConfigError for a port or an address that can't be had: trying again would not help. */
export async function listen(app: FastifyInstance, host: string, port: number): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    const reason = whyNot((error as NodeJS.ErrnoException).code, host, port);
    if (reason === undefined) throw error;
    throw new ConfigError([reason]);
  }
}

function whyNot(code: string | undefined, host: string, port: number): string | undefined {
  switch (code) {
    case "EADDRINUSE":
      return `GREENROOM_PORT: port ${port} on ${host} is taken by another program. Stop that one, or set GREENROOM_PORT to a free port.`;
    case "EACCES":
      return `GREENROOM_PORT: this user may not open port ${port}. Take one above 1023.`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return `GREENROOM_BIND: this machine has no address ${host}. 127.0.0.1 is itself, 0.0.0.0 all it has.`;
    default:
      return undefined;
  }
}
