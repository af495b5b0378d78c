// Chooses the ports of the gateways.
import type { Log } from "../../libs/runtime/log.ts";
import { freePort, isPortFree, keepPort } from "../servers/ports.ts";
import type { LocalConfig } from "./config.ts";
import { StartError } from "./start-error.ts";

/**
 * The first gateway gets the configured port. The others get the next ports, or any free ones.
 * @throws StartError if the configured port can't be used
 */
export async function gatewayPorts(config: LocalConfig, count: number, log: Log): Promise<number[]> {
  const { GREENROOM_PORT: wanted, GREENROOM_BIND: bind } = config;
  const ports: number[] = [];
  while (ports.length < count) {
    const port = await nextPort(wanted === 0 ? 0 : wanted + ports.length, bind);
    if (port !== undefined && !ports.includes(port)) ports.push(port);
    else if (ports.length === 0) {
      throw new StartError(
        `The gateway can't listen on ${bind}:${wanted}: the port is in use, or this machine does not have the address. ` +
          `Nothing was started. Choose another port, for example GREENROOM_PORT=${wanted + 1}.`,
      );
    } else {
      const other = await freePort(bind);
      log.warn({ port: other }, `port ${wanted + ports.length} is in use; another gateway uses ${other}`);
      if (!ports.includes(other)) ports.push(other);
    }
  }
  // The gateways listen later than the servers.
  for (const port of ports) keepPort(port);
  return ports;
}

async function nextPort(wanted: number, bind: string): Promise<number | undefined> {
  if (wanted === 0) return await freePort(bind);
  return wanted <= 65_535 && (await isPortFree(wanted, bind)) ? wanted : undefined;
}
