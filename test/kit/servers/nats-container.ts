// nats-server in a container, where a Docker engine and the image are at hand.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { freePort } from "../../../cli/servers/ports.ts";
import { messageOf } from "../../../libs/contracts/errors.ts";
import type { NatsOptions, TestNats } from "./test-nats.ts";

const IMAGE = "nats:2.15";
const run = promisify(execFile);

/**
 * @returns undefined where the local binary serves better: no engine, no image (none is pulled), an engine
 *   that starts nothing, or a test that needs its own directory or port, since those are the container's private matter.
 */
export async function startNatsContainer(options: NatsOptions): Promise<TestNats | undefined> {
  if (options.dir !== undefined || options.port !== undefined) return undefined;
  if (!(await hasImage())) return undefined;
  const { GenericContainer, Wait } = await import("testcontainers");
  const sync = options.syncInterval ?? "1s";
  const config = [
    "http: 8222",
    "max_payload: 256KB",
    `jetstream { store_dir: "/data", max_file_store: 16GB, sync_interval: ${sync === "always" ? sync : `"${sync}"`} }`,
  ].join("\n");
  // Ports of our own choice stay the same when the container is restarted.
  const [port, monitorPort] = [await freePort(), await freePort()];
  const container = await new GenericContainer(IMAGE)
    .withCopyContentToContainer([{ content: config, target: "/greenroom.conf" }])
    .withCommand(["-c", "/greenroom.conf"])
    .withExposedPorts({ container: 4222, host: port }, { container: 8222, host: monitorPort })
    .withWaitStrategy(Wait.forHttp("/healthz", 8222))
    .start()
    .catch((error: unknown) => {
      console.error(`The image ${IMAGE} is here, but no container could be started: ${messageOf(error)}`);
      return undefined;
    });
  if (container === undefined) return undefined;
  const engine = (...args: string[]) => run("docker", [...args, container.getId()]);
  return {
    url: `nats://${container.getHost()}:${port}`,
    port,
    monitorUrl: `http://${container.getHost()}:${monitorPort}`,
    pid: -1,
    dir: "/data",
    stop: async () => void (await container.stop()),
    kill9: async () => void (await engine("kill", "--signal", "KILL")),
    restart: async () => void (await engine("restart")),
  };
}

let looked: Promise<boolean> | undefined;

function hasImage(): Promise<boolean> {
  looked ??= run("docker", ["image", "inspect", IMAGE], { timeout: 5000 }).then(
    () => true,
    () => false,
  );
  return looked;
}
