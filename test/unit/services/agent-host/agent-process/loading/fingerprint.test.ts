// The fingerprint of agent code: what it depends on, and what not.
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fingerprintOf } from "../../../../../../services/agent-host/agent-process/loading/fingerprint.ts";

const FILES = { "project/agent.ts": "one", "project/lib/a.ts": "two", "shared/b.ts": "three" };

let folder: string;
const write = (file: string, text: string) => {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(join(folder, file), text);
};
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "greenroom-fingerprint-"));
  for (const [file, text] of Object.entries(FILES)) write(file, text);
});
afterEach(() => rmSync(folder, { recursive: true }));

const fingerprint = (files: readonly string[] = Object.keys(FILES), root = folder) =>
  fingerprintOf(
    join(root, "project"),
    files.map((file) => join(root, file)),
  );

describe("the fingerprint of an agent's code", () => {
  test("is twelve hexadecimal digits, the same in any order and in any folder", async () => {
    const first = await fingerprint();
    expect(first).toMatch(/^[0-9a-f]{12}$/);
    expect(await fingerprint(Object.keys(FILES).reverse())).toBe(first);
    const files = Object.keys(FILES);
    expect(await fingerprint([...files, ...files])).toBe(first);
    const copy = mkdtempSync(join(tmpdir(), "greenroom-copy-"));
    try {
      cpSync(folder, copy, { recursive: true });
      expect(await fingerprint(undefined, copy)).toBe(first);
      symlinkSync(copy, join(copy, "link"));
      expect(await fingerprint(undefined, join(copy, "link"))).toBe(first);
    } finally {
      rmSync(copy, { recursive: true });
    }
  });

  test.each([...Object.keys(FILES), "project/package.json", "project/package-lock.json"])(
    "changes with %s",
    async (file) => {
      const first = await fingerprint();
      write(file, "changed");
      expect(await fingerprint()).not.toBe(first);
    },
  );

  test("changes when two modules swap their contents, and when one is renamed", async () => {
    const first = await fingerprint();
    write("project/agent.ts", FILES["project/lib/a.ts"]);
    write("project/lib/a.ts", FILES["project/agent.ts"]);
    expect(await fingerprint()).not.toBe(first);
    for (const [file, text] of Object.entries(FILES)) write(file, text);
    renameSync(join(folder, "shared/b.ts"), join(folder, "shared/c.ts"));
    expect(await fingerprint(["project/agent.ts", "project/lib/a.ts", "shared/c.ts"])).not.toBe(first);
  });

  test("doesn't change with a file that is no module of the agent", async () => {
    const first = await fingerprint();
    write("project/other.ts", "four");
    write("project/node_modules/package/index.js", "five");
    expect(await fingerprint()).toBe(first);
  });

  test("is unknown without a readable module", async () => {
    expect(await fingerprint(["project/missing.ts"])).toBeUndefined();
  });
});
