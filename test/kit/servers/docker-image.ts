// The image, built and run by a Docker engine. Needs an engine that has the base image.
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "../../../cli/servers/ports.ts";
import type { Contained, Container } from "../stack/contained.ts";

const run = promisify(execFile);
const docker = async (...args: string[]): Promise<string> =>
  (await run("docker", args, { maxBuffer: 64 * 1024 * 1024 })).stdout.trim();

/** Tests pull no images, so the base image must be present. */
export const hasBaseImage = (base: string): Promise<boolean> =>
  run("docker", ["image", "inspect", base], { timeout: 5000 }).then(
    () => true,
    () => false,
  );

/** Builds the image, with packages from npm's registry. The services run like in compose.yaml, in the host's network. */
export async function buildImage(root: string, base: string): Promise<Container> {
  const tag = `greenroom-test-${randomBytes(4).toString("hex")}`;
  const registry = process.env.NPM_CONFIG_REGISTRY;
  const args = [`BASE_IMAGE=${base}`, ...(registry ? [`NPM_CONFIG_REGISTRY=${registry}`] : [])];
  const file = join(root, "deploy/Dockerfile");
  await docker(
    "build",
    "-q",
    "-f",
    file,
    "--network=host",
    "-t",
    tag,
    ...args.map((arg) => `--build-arg=${arg}`),
    root,
  );
  const started: string[] = [];
  return {
    async run(words, env) {
      const all = { GREENROOM_METRICS_PORT: String(await freePort()), ...env };
      const settings = Object.entries(all).map(([name, value]) => `--env=${name}=${value}`);
      const jail = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges"];
      const id = await docker("run", "-d", "--network=host", ...jail, ...settings, tag, ...words);
      started.push(id);
      return contained(id);
    },
    async remove() {
      if (started.length > 0) await docker("rm", "-f", "-v", ...started);
      await docker("rmi", tag);
    },
  };
}

const contained = (id: string): Contained => ({
  isHealthy: async () => (await docker("inspect", "-f", "{{.State.Health.Status}}", id)) === "healthy",
  terminate: async () => void (await docker("kill", "--signal=SIGTERM", id)),
  ended: async () => Number(await docker("wait", id)),
  text: async () => {
    const { stdout, stderr } = await run("docker", ["logs", "--tail=100", id]);
    return stdout + stderr;
  },
});
