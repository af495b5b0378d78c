// The image without a Docker engine: a folder with the files that the Dockerfile copies, run as processes.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { freePort } from "../../../cli/servers/ports.ts";
import type { Image } from "../checks/dockerfile.ts";
import type { Contained, Container } from "./contained.ts";

const INHERITED = ["PATH", "HOME", "LANG", "TMPDIR", "NODE_EXTRA_CA_CERTS"];
const inherited = () => Object.fromEntries(INHERITED.map((name) => [name, process.env[name]]));

/**
 * Lays out the image without development packages, so that an import of one fails.
 * @throws Error if a step of the build fails
 */
export function layOutImage(root: string, image: Image): Container {
  const dir = mkdtempSync(join(tmpdir(), "greenroom-image-"));
  for (const { from, to } of image.copies) cpSync(join(root, from), join(dir, to), { recursive: true });
  for (const folder of image.compiled) {
    cpSync(join(root, "dist", folder), join(dir, "dist", folder), { recursive: true });
  }
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  for (const [path, { dev }] of Object.entries<{ dev?: boolean }>(packages)) {
    const isDirect = /^node_modules\/(@[^/]+\/)?[^/]+$/.test(path);
    if (!isDirect || dev === true) continue;
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    symlinkSync(join(root, path), join(dir, path));
  }
  for (const [program = "", ...words] of image.finalSteps) {
    execFileSync(program, words, { cwd: dir, env: { ...inherited(), ...image.env }, stdio: "pipe" });
  }
  const started: Child[] = [];
  return {
    async run(words, env) {
      const metrics = { GREENROOM_METRICS_PORT: String(await freePort()) };
      const child = new Child(dir, image, words, { ...inherited(), ...image.env, ...metrics, ...env });
      started.push(child);
      return child;
    },
    async remove() {
      for (const child of started) child.kill();
      await Promise.all(started.map((child) => child.ended()));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

class Child implements Contained {
  readonly #run: (command: readonly string[]) => ChildProcess;
  readonly #child: ChildProcess;
  readonly #ended: Promise<number>;
  #text = "";

  constructor(dir: string, image: Image, words: readonly string[], env: NodeJS.ProcessEnv) {
    this.#run = ([program = "", ...rest]) => spawn(program, rest, { cwd: dir, env, stdio: "pipe" });
    this.#child = this.#run([...image.entrypoint, ...words]);
    this.#ended = new Promise((resolve) => this.#child.on("close", (code) => resolve(code ?? -1)));
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (part) => {
        this.#text = (this.#text + part).slice(-20_000);
      });
    }
    this.#healthCheck = image.healthCheck;
  }
  readonly #healthCheck: readonly string[];

  isHealthy(): Promise<boolean> {
    const check = this.#run(this.#healthCheck);
    return new Promise((resolve) => check.on("close", (code) => resolve(code === 0)));
  }
  terminate = async (): Promise<void> => void this.#child.kill("SIGTERM");
  ended = (): Promise<number> => this.#ended;
  text = async (): Promise<string> => this.#text;
  kill = (): void => void this.#child.kill("SIGKILL");
}
