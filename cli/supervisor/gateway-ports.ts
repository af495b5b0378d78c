// Which ports the gateways listen on.
import type { Log } from "../../libs/runtime/log.ts";
import { freePort, isPortFree } from "../servers/ports.ts";
import type { LocalConfig } from "./config.ts";
import { StartError } from "./start-error.ts";

/**
 * The first has the port of the settings, or there is no start; the others have the next ones, or any.
 * @throws StartError
 */
export async function gatewayPorts(config: LocalConfig, count: number, log: Log): Promise<number[]> {
  const { GREENROOM_PORT: wanted, GREENROOM_BIND: bind } = config;
  const ports: number[] = [];
  while (ports.length < count) {
    const port = await nextPort(wanted === 0 ? 0 : wanted + ports.length, bind);
    if (port !== undefined && !ports.includes(port)) ports.push(port);
    else if (ports.length === 0) {
      throw new StartError(
        `The gateway can't listen on ${bind}:${wanted}: the port is taken, or the address is not this machine's. ` +
          `Nothing was started. Choose another port: GREENROOM_PORT=${wanted + 1} npm start`,
      );
    } else {
      const other = await freePort(bind);
      log.warn({ port: other }, `port ${wanted + ports.length} is taken; another gateway uses ${other}`);
      if (!ports.includes(other)) ports.push(other);
    }
  }
  return ports;
}

async function nextPort(wanted: number, bind: string): Promise<number | undefined> {
  if (wanted === 0) return await freePort(bind);
  return wanted <= 65_535 && (await isPortFree(wanted, bind)) ? wanted : undefined;
}
