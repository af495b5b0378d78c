// The search for a server's program: its order, and refused versions.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BinaryError, findBinary } from "../../../../cli/servers/binaries.ts";
import { isOlder, livekitServer, natsServer } from "../../../../cli/servers/binary-specs.ts";
import { startReleaseServer } from "../../../kit/fakes/release-server.ts";

let directory: string;
let reports: string[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "greenroom-binaries-"));
  reports = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A program that prints the given text. */
function program(path: string, description: string): string {
  const file = join(directory, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\necho "${description}"\n`, { mode: 0o755 });
  return file;
}

const find = (spec: typeof natsServer, env: Record<string, string> = {}) =>
  findBinary(spec, {
    env: {
      // PATH has only the tests' programs; /bin has sh, tar and the like.
      PATH: `${join(directory, "path")}:/bin`,
      XDG_CACHE_HOME: join(directory, "cache"),
      GREENROOM_NO_DOWNLOAD: "true",
      ...env,
    },
    report: (line) => reports.push(line),
  });

const cached = "cache/greenroom/bin/nats-server-2.15.2";

test("prefers a program that a setting names", async () => {
  const own = program("own/my-nats", "nats-server: v2.14.0");
  program("path/nats-server", "nats-server: v2.15.2");
  program(cached, "nats-server: v2.15.2");
  expect(await find(natsServer, { GREENROOM_NATS_SERVER: own })).toBe(own);
});

test("prefers PATH to the cache, and the cache to an installation", async () => {
  const inCache = program(cached, "nats-server: v2.15.2");
  expect(await find(natsServer)).toBe(inCache);
  const onPath = program("path/nats-server", "nats-server: v2.16.1");
  expect(await find(natsServer)).toBe(onPath);
});

test("skips a nats-server that can lose messages, and reports why", async () => {
  const inCache = program(cached, "nats-server: v2.15.2");
  program("path/nats-server", "nats-server: v2.12.2");
  expect(await find(natsServer)).toBe(inCache);
  expect(reports.join("\n")).toMatch(
    /ignored .*path\/nats-server: .*2\.12\.2 can lose acknowledged messages/,
  );
});

test("refuses a nats-server that can lose messages, even if a setting names it", async () => {
  const own = program("own/my-nats", "nats-server: v2.10.0");
  await expect(find(natsServer, { GREENROOM_NATS_SERVER: own })).rejects.toThrow("use 2.12.3 or newer");
});

test("names a setting that points to no program", async () => {
  const nothing = join(directory, "nothing");
  const finding = find(livekitServer, { GREENROOM_LIVEKIT_SERVER: nothing });
  await expect(finding).rejects.toThrow(
    `GREENROOM_LIVEKIT_SERVER is ${nothing}, which is not an executable program`,
  );
});

test("uses XDG_CACHE_HOME for the cache, else HOME/.cache", async () => {
  const inHome = program("home/.cache/greenroom/bin/nats-server-2.15.2", "nats-server: v2.15.2");
  expect(await find(natsServer, { XDG_CACHE_HOME: "", HOME: join(directory, "home") })).toBe(inHome);
});

test("installs the release into the cache, and finds it there the next time", async () => {
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

test("builds with Go when the release is unavailable, under the server's name", async () => {
  // A stand-in for Go: records its arguments, and creates a program in GOBIN.
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

test("reports what was tried and what to do when nothing works", async () => {
  const go = program("path/go", "");
  writeFileSync(go, '#!/bin/sh\n[ "$1" = version ] && exit 0\necho "no such host" >&2\nexit 1\n');
  const error = await find(natsServer).catch((reason: Error) => reason);
  expect(error).toBeInstanceOf(BinaryError);
  const { message } = error as BinaryError;
  expect(message).toContain("PATH: no nats-server");
  expect(message).toContain("nats-server-2.15.2: not found");
  expect(message).toContain("the official release: skipped because of GREENROOM_NO_DOWNLOAD");
  expect(message).toContain(
    "go install: go install github.com/nats-io/nats-server/v2@v2.15.2 failed: no such host",
  );
  expect(message).toContain("set GREENROOM_NATS_SERVER to its path");
});

describe("isOlder", () => {
  test.each([
    ["2.12.2", "2.12.3", true],
    ["2.12.3", "2.12.3", false],
    ["2.9.25", "2.12.3", true],
    ["2.15.2", "2.12.3", false],
    ["3.0.0-beta.1", "2.12.3", false],
  ])("compares %s with %s: %s", (version, than, answer) => {
    expect(isOlder(version, than)).toBe(answer);
  });
});
