// nats-server in a container. Needs a Docker engine that has the image.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { freePort } from "../../../cli/servers/ports.ts";
import { messageOf } from "../../../libs/contracts/errors.ts";
import type { NatsOptions, TestNats } from "./test-nats.ts";

const IMAGE = "nats:2.15";
const run = promisify(execFile);

/**
 * @returns undefined if the local binary must be used: without an engine or its image, and for a given directory or port
 */
export async function startNatsContainer(options: NatsOptions): Promise<TestNats | undefined> {
  if (options.dir !== undefined || options.port !== undefined) return undefined;
  if (!(await hasImage())) return undefined;
  const { GenericContainer, Wait } = await import("testcontainers");
  const sync = options.syncInterval ?? "1s";
  const config = [
    "http: 8222",
    "max_payload: 1MB",
    `jetstream { store_dir: "/data", max_file_store: 16GB, sync_interval: ${sync === "always" ? sync : `"${sync}"`} }`,
  ].join("\n");
  // Fixed ports stay the same when the container restarts.
  const [port, monitorPort] = [await freePort(), await freePort()];
  const container = await new GenericContainer(IMAGE)
    .withCopyContentToContainer([{ content: config, target: "/greenroom.conf" }])
    .withCommand(["-c", "/greenroom.conf"])
    .withExposedPorts({ container: 4222, host: port }, { container: 8222, host: monitorPort })
    .withWaitStrategy(Wait.forHttp("/healthz", 8222))
    .start()
    .catch((error: unknown) => {
      console.error(`failed to start a container of ${IMAGE}: ${messageOf(error)}`);
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
