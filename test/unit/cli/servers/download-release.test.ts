// Downloads of the official release, from a local server with the same layout.
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

/** The error of a download that meets the given fault. */
async function failureOf(fault: Fault): Promise<string> {
  server = await startReleaseServer(natsServer, "nats-server: v2.15.2", fault);
  const env = { GREENROOM_RELEASES_URL: server.url };
  const error = await downloadRelease(natsServer, target, {
    env,
    report: () => {},
    answerMs: 200,
    stallMs: 200,
  })
    .then(() => undefined)
    .catch((reason: Error) => reason);
  expect(error).toBeInstanceOf(Error);
  expect(existsSync(target)).toBe(false);
  if (existsSync(join(directory, "cache"))) expect(readdirSync(join(directory, "cache"))).toEqual([]);
  return error!.message;
}

test.each([natsServer, livekitServer])("installs a good release of $name, which runs", async (spec) => {
  server = await startReleaseServer(spec, `${spec.name} version ${spec.version}`, "none");
  const output: string[] = [];
  const env = { GREENROOM_RELEASES_URL: `${server.url}/` };
  await downloadRelease(spec, target, { env, report: (line) => output.push(line) });
  const { stdout } = await runProgram(target, ["--version"], { timeoutMs: 5000 });
  expect(stdout).toBe(`${spec.name} version ${spec.version}\n`);
  expect(readdirSync(join(directory, "cache"))).toEqual(["the-server"]);
  expect(output.join("\n")).toContain(`downloading ${server.url}/${spec.repository}/releases/download/v`);
});

test("rejects an archive with another checksum", async () => {
  expect(await failureOf("wrong checksum")).toMatch(
    /has SHA-256 [0-9a-f]{64}, but SHA256SUMS contains 0{64}/,
  );
});

test("does not download an archive that the checksums omit", async () => {
  expect(await failureOf("not in the checksums")).toContain("does not contain nats-server-v2.15.2-");
  expect(server!.requests).toHaveLength(1);
});

test("reports a missing archive with its address", async () => {
  expect(await failureOf("no archive")).toMatch(/nats-server-v2\.15\.2-.*: HTTP 404/);
});

test("gives up soon on a server that doesn't answer", async () => {
  expect(await failureOf("silent")).toContain("no answer within 200 ms");
});

test("gives up on a download that stalls", async () => {
  expect(await failureOf("stalls")).toContain("no data for 200 ms");
});

test("rejects an incomplete download", async () => {
  expect(await failureOf("breaks off")).toMatch(/nats-server-v2\.15\.2-[\w.-]+: /);
});

test("reports an address where nobody listens", async () => {
  server = await startReleaseServer(natsServer, "", "none");
  const { url } = server;
  await server.stop();
  server = undefined;
  const env = { GREENROOM_RELEASES_URL: url };
  await expect(downloadRelease(natsServer, target, { env, report: () => {} })).rejects.toThrow(
    "ECONNREFUSED",
  );
});

test("skips the download with GREENROOM_NO_DOWNLOAD", async () => {
  server = await startReleaseServer(natsServer, "", "none");
  const env = { GREENROOM_RELEASES_URL: server.url, GREENROOM_NO_DOWNLOAD: "true" };
  await expect(downloadRelease(natsServer, target, { env, report: () => {} })).rejects.toThrow("skipped");
  expect(server.requests).toEqual([]);
});
