// The files of a folder that are profiles.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { findProfiles } from "../../../../../services/agent-host/pool/find-profiles.ts";

const profilesIn = (...files: string[]): Promise<string[]> =>
  profilesOf(Object.fromEntries(files.map((file) => [file, ""])));

/** The profiles of a folder with these texts by their files, each in the form `name: path`. */
async function profilesOf(texts: Record<string, string>): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "greenroom-profiles-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const [file, text] of Object.entries(texts)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
  const found = await findProfiles(folder);
  return found.map(({ profile, file }) => `${profile}: ${relative(folder, file)}`);
}

test("finds files by their names, and TypeScript before JavaScript", async () => {
  expect(await profilesIn("b.mjs", "a.ts", "a.js", "c.cts")).toEqual(["a: a.ts", "b: b.mjs", "c: c.cts"]);
});

test("reports files whose names can't be the names of profiles", async () => {
  const folder = mkdtempSync(join(tmpdir(), "greenroom-profiles-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const file of ["süd.ts", "to do.ts", "north.ts"]) writeFileSync(join(folder, file), "");
  const refused: string[] = [];
  const found = await findProfiles(folder, (file, reason) =>
    refused.push(`${relative(folder, file)}: ${reason}`),
  );
  expect(found.map(({ profile }) => profile)).toEqual(["north"]);
  const reason = 'A profile name may hold letters, digits, "-" and "_" only';
  expect(refused.sort()).toEqual([`süd.ts: ${reason}`, `to do.ts: ${reason}`]);
});

test("leaves out helpers, types, tests and other files", async () => {
  expect(await profilesIn("_a.ts", ".b.ts", "c.d.ts", "d.test.ts", "e.json", "README.md")).toEqual([]);
});

test("finds the agent file of a folder", async () => {
  const files = ["support/index.ts", "sales/agent.js", "sales/agent.ts", "both/index.ts", "both/agent.ts"];
  expect(await profilesIn(...files)).toEqual([
    "both: both/index.ts",
    "sales: sales/agent.ts",
    "support: support/index.ts",
  ]);
});

test("leaves out folders without an agent file, packages, and those that begin with _", async () => {
  expect(await profilesIn("lib/prompts.ts", "node_modules/index.js", "_old/index.ts")).toEqual([]);
});

test("prefers a file to a folder of the same name", async () => {
  expect(await profilesIn("support.ts", "support/index.ts")).toEqual(["support: support.ts"]);
});

test("finds the entry point of a project, and of the projects in the folder", async () => {
  const texts = {
    "package.json": '{ "name": "@acme/reception", "main": "dist/main.js" }',
    "dist/main.js": "",
    "support/package.json": '{ "name": "anything", "main": "build/agent.js" }',
    "support/build/agent.js": "",
  };
  expect(await profilesOf(texts)).toEqual(["reception: dist/main.js", "support: support/build/agent.js"]);
});

test("finds a file once, also if it is the entry point", async () => {
  const texts = { "package.json": '{ "name": "reception", "main": "agent.js" }', "agent.js": "" };
  expect(await profilesOf(texts)).toEqual(["agent: agent.js"]);
});

test("takes only the profiles that package.json names, if it names some", async () => {
  const agents = { support: "src/agents/support.ts", sales: "src/sales/main.ts" };
  const texts = { "package.json": JSON.stringify({ main: "a.js", greenroom: { agents } }), "a.js": "" };
  expect(await profilesOf(texts)).toEqual(["sales: src/sales/main.ts", "support: src/agents/support.ts"]);
});

test("rejects invalid names in package.json, with the file", async () => {
  const packageJson = JSON.stringify({ greenroom: { agents: { "a profile": 7 } } });
  await expect(profilesOf({ "package.json": packageJson })).rejects.toThrow(/package\.json is invalid/);
  await expect(profilesOf({ "package.json": "{" })).rejects.toThrow(/package\.json is invalid/);
});

test("leaves out a main that does not exist, and folders of something else", async () => {
  const texts = {
    "package.json": '{ "name": "reception", "main": "index.js" }',
    "agent.ts": "",
    "vendor/package.json": "{ this is no JSON",
    "other/package.json": '{ "greenroom": { "agents": 1 } }',
  };
  expect(await profilesOf(texts)).toEqual(["agent: agent.ts"]);
});
