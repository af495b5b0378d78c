// Where a server's program is looked for, in which order, and which one is refused.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BinaryError, findBinary } from "../../../../cli/servers/binaries.ts";
import { isOlder, livekitServer, natsServer } from "../../../../cli/servers/binary-specs.ts";
import { startReleaseServer } from "../../../kit/fakes/release-server.ts";

let directory: string;
let said: string[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "greenroom-binaries-"));
  said = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A program that says what is given here. */
function program(path: string, description: string): string {
  const file = join(directory, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\necho "${description}"\n`, { mode: 0o755 });
  return file;
}

const find = (spec: typeof natsServer, env: Record<string, string> = {}) =>
  findBinary(spec, {
    env: {
      // Programs of the tests only; /bin has sh, tar and the like.
      PATH: `${join(directory, "path")}:/bin`,
      XDG_CACHE_HOME: join(directory, "cache"),
      GREENROOM_NO_DOWNLOAD: "true",
      ...env,
    },
    report: (line) => said.push(line),
  });

const cached = "cache/greenroom/bin/nats-server-2.15.2";

test("a program that a setting names comes before all others", async () => {
  const own = program("own/my-nats", "nats-server: v2.14.0");
  program("path/nats-server", "nats-server: v2.15.2");
  program(cached, "nats-server: v2.15.2");
  expect(await find(natsServer, { GREENROOM_NATS_SERVER: own })).toBe(own);
});

test("PATH comes before the cache, and the cache before an installation", async () => {
  const inCache = program(cached, "nats-server: v2.15.2");
  expect(await find(natsServer)).toBe(inCache);
  const onPath = program("path/nats-server", "nats-server: v2.16.1");
  expect(await find(natsServer)).toBe(onPath);
});

test("a nats-server that can lose messages is passed over, and it says why", async () => {
  const inCache = program(cached, "nats-server: v2.15.2");
  program("path/nats-server", "nats-server: v2.12.2");
  expect(await find(natsServer)).toBe(inCache);
  expect(said.join("\n")).toMatch(/path\/nats-server is not used: .*2\.12\.2 can lose acknowledged messages/);
});

test("a nats-server that can lose messages is refused also where a setting names it", async () => {
  const own = program("own/my-nats", "nats-server: v2.10.0");
  await expect(find(natsServer, { GREENROOM_NATS_SERVER: own })).rejects.toThrow("2.12.3 or newer is needed");
});

test("a setting that names no program is told with its name", async () => {
  const nothing = join(directory, "nothing");
  const finding = find(livekitServer, { GREENROOM_LIVEKIT_SERVER: nothing });
  await expect(finding).rejects.toThrow(`GREENROOM_LIVEKIT_SERVER is ${nothing}, which is no program`);
});

test("without HOME settings the cache is under XDG_CACHE_HOME, else under HOME/.cache", async () => {
  const inHome = program("home/.cache/greenroom/bin/nats-server-2.15.2", "nats-server: v2.15.2");
  expect(await find(natsServer, { XDG_CACHE_HOME: "", HOME: join(directory, "home") })).toBe(inHome);
});

test("the release is installed into the cache, and found there the next time", async () => {
  const server = await startReleaseServer(livekitServer, "livekit-server version 1.13.5", "none");
  const env = { GREENROOM_NO_DOWNLOAD: "", GREENROOM_RELEASES_URL: server.url };
  try {
    const both = await Promise.all([find(livekitServer, env), find(livekitServer, env)]);
    const installed = join(directory, "cache/greenroom/bin/livekit-server-1.13.5");
    expect(both).toEqual([installed, installed]);
    const { length } = server.requests;
    expect(await find(livekitServer, env)).toBe(installed);
    expect(server.requests).toHaveLength(length);
  } finally {
    await server.stop();
  }
});

test("Go builds it when the release can't be had, under the name of the server", async () => {
  // Stands for Go: notes how it was called, and leaves a program where GOBIN says.
  const go = program("path/go", "");
  const script = `#!/bin/sh
[ "$1" = version ] && exit 0
echo "$@" > "${directory}/called"
printf '#!/bin/sh\\necho built' > "$GOBIN/server"; /bin/chmod +x "$GOBIN/server"
`;
  writeFileSync(go, script);
  const found = await find(livekitServer);
  expect(found).toBe(join(directory, "cache/greenroom/bin/livekit-server-1.13.5"));
  expect(existsSync(found)).toBe(true);

  expect(readFileSync(join(directory, "called"), "utf8").trim()).toBe(
    "install github.com/livekit/livekit-server/cmd/server@v1.13.5",
  );
});

test("when nothing works the error says what was tried and what to do", async () => {
  const go = program("path/go", "");
  writeFileSync(go, '#!/bin/sh\n[ "$1" = version ] && exit 0\necho "no such host" >&2\nexit 1\n');
  const error = await find(natsServer).catch((reason: Error) => reason);
  expect(error).toBeInstanceOf(BinaryError);
  const { message } = error as BinaryError;
  expect(message).toContain("PATH: no nats-server");
  expect(message).toContain("nats-server-2.15.2: not there");
  expect(message).toContain("the official release: left out, as GREENROOM_NO_DOWNLOAD says");
  expect(message).toContain(
    "go install: go install github.com/nats-io/nats-server/v2@v2.15.2 failed: no such host",
  );
  expect(message).toContain("set GREENROOM_NATS_SERVER to its path");
});

describe("versions", () => {
  test.each([
    ["2.12.2", "2.12.3", true],
    ["2.12.3", "2.12.3", false],
    ["2.9.25", "2.12.3", true],
    ["2.15.2", "2.12.3", false],
    ["3.0.0-beta.1", "2.12.3", false],
  ])("%s is older than %s: %s", (version, than, answer) => {
    expect(isOlder(version, than)).toBe(answer);
  });
});
