// The files whose changes load agents again.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, expect, test } from "vitest";
import { watchAgentFiles } from "../../../../../services/agent-host/pool/watch-agent-files.ts";
import { until } from "../../../../kit/until.ts";

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

test("reports code of the folder and the project's .env files, but no packages and no other files", async () => {
  const project = mkdtempSync(path.join(os.tmpdir(), "greenroom-watch-"));
  cleanUps.push(() => rmSync(project, { recursive: true }));
  const folder = path.join(project, "agents");
  const packages = path.join(folder, "node_modules/a");
  mkdirSync(packages, { recursive: true });
  writeFileSync(path.join(project, "package.json"), "{}");
  const seen = new Set<string>();
  const onChange = async (changed: ReadonlySet<string>) => {
    for (const file of changed) seen.add(path.relative(project, file));
  };
  const errors: unknown[] = [];
  cleanUps.push(watchAgentFiles(folder, [], onChange, (error) => errors.push(error)));
  const write = (round: number) => {
    writeFileSync(path.join(packages, "index.js"), `${round}`);
    writeFileSync(path.join(folder, "notes.txt"), `${round}`);
    writeFileSync(path.join(folder, "agent.ts"), `${round}`);
    writeFileSync(path.join(project, ".env"), `ROUND=${round}`);
    writeFileSync(path.join(project, ".env.local"), `ROUND=${round}`);
  };
  let round = 0;
  // The watcher may begin after the first writes.
  await until(
    () => {
      write(++round);
      return seen.size >= 3;
    },
    { timeoutMs: 30_000, everyMs: 500, what: () => `three files are reported, not only ${[...seen]}` },
  );
  expect([...seen].sort()).toEqual([".env", ".env.local", "agents/agent.ts"]);
  expect(errors).toEqual([]);
});
