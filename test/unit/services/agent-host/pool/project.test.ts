// The folder in which the process of an agent file runs.
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { projectOf } from "../../../../../services/agent-host/pool/project.ts";

test("is the nearest folder with a package.json, of the file that a link points to", () => {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "greenroom-project-")));
  onTestFinished(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, "app/src/agents"), { recursive: true });
  mkdirSync(join(root, "links"));
  writeFileSync(join(root, "app/package.json"), "{}");
  writeFileSync(join(root, "app/src/agents/a.ts"), "");
  writeFileSync(join(root, "links/b.ts"), "");
  symlinkSync(join(root, "app/src/agents/a.ts"), join(root, "links/a.ts"));
  expect(projectOf(join(root, "app/src/agents/a.ts"))).toBe(join(root, "app"));
  expect(projectOf(join(root, "links/a.ts"))).toBe(join(root, "app"));
  expect(projectOf(join(root, "links/b.ts"))).toBe(join(root, "links"));
});
