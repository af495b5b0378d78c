// The official release, from a local server of the same layout.
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { livekitServer, natsServer } from "../../../../cli/servers/binary-specs.ts";
import { downloadRelease } from "../../../../cli/servers/download-release.ts";
import { runProgram } from "../../../../cli/servers/run-program.ts";
import { type Fault, type ReleaseServer, startReleaseServer } from "../../../kit/fakes/release-server.ts";

let directory: string;
let target: string;
let server: ReleaseServer | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "greenroom-download-"));
  target = join(directory, "cache", "the-server");
});
afterEach(async () => {
  await server?.stop();
  server = undefined;
  rmSync(directory, { recursive: true, force: true });
});

/** How a download ends that meets this fault. */
async function failureOf(fault: Fault): Promise<string> {
  server = await startReleaseServer(natsServer, "nats-server: v2.15.2", fault);
  const env = { GREENROOM_RELEASES_URL: server.url };
  const error = await downloadRelease(natsServer, target, { env, say: () => {}, answerMs: 200, stallMs: 200 })
    .then(() => undefined)
    .catch((reason: Error) => reason);
  expect(error).toBeInstanceOf(Error);
  expect(existsSync(target)).toBe(false);
  if (existsSync(join(directory, "cache"))) expect(readdirSync(join(directory, "cache"))).toEqual([]);
  return error!.message;
}

test.each([natsServer, livekitServer])("a good release of $name is installed and runs", async (spec) => {
  server = await startReleaseServer(spec, `${spec.name} version ${spec.version}`, "none");
  const said: string[] = [];
  const env = { GREENROOM_RELEASES_URL: `${server.url}/` };
  await downloadRelease(spec, target, { env, say: (line) => said.push(line) });
  const { stdout } = await runProgram(target, ["--version"], { timeoutMs: 5000 });
  expect(stdout).toBe(`${spec.name} version ${spec.version}\n`);
  expect(readdirSync(join(directory, "cache"))).toEqual(["the-server"]);
  expect(said.join("\n")).toContain(`downloading ${server.url}/${spec.repository}/releases/download/v`);
});

test("an archive with another checksum is not used", async () => {
  expect(await failureOf("wrong checksum")).toMatch(/has SHA-256 [0-9a-f]{64}, but SHA256SUMS says 0{64}/);
});

test("an archive that the checksums don't name is not even downloaded", async () => {
  expect(await failureOf("not in the checksums")).toContain("does not name nats-server-v2.15.2-");
  expect(server!.requests).toHaveLength(1);
});

test("a missing archive is told with its address", async () => {
  expect(await failureOf("no archive")).toMatch(/nats-server-v2\.15\.2-.*: it answered 404/);
});

test("a server that doesn't answer is given up soon", async () => {
  expect(await failureOf("silent")).toContain("no answer within 200 ms");
});

test("a download that stands still is given up", async () => {
  expect(await failureOf("stalls")).toContain("nothing came for 200 ms");
});

test("a download that breaks off is not used", async () => {
  expect(await failureOf("breaks off")).toMatch(/nats-server-v2\.15\.2-[\w.-]+: /);
});

test("an address where nobody listens is told as such", async () => {
  server = await startReleaseServer(natsServer, "", "none");
  const { url } = server;
  await server.stop();
  server = undefined;
  const env = { GREENROOM_RELEASES_URL: url };
  await expect(downloadRelease(natsServer, target, { env, say: () => {} })).rejects.toThrow("ECONNREFUSED");
});

test("GREENROOM_NO_DOWNLOAD leaves the download out", async () => {
  server = await startReleaseServer(natsServer, "", "none");
  const env = { GREENROOM_RELEASES_URL: server.url, GREENROOM_NO_DOWNLOAD: "true" };
  await expect(downloadRelease(natsServer, target, { env, say: () => {} })).rejects.toThrow("left out");
  expect(server.requests).toEqual([]);
});
