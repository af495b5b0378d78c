// The search for the agent files of a project.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findAgents } from "../../../../cli/local/agents-folder.ts";

let project: string;
beforeEach(() => {
  project = mkdtempSync(path.join(os.tmpdir(), "greenroom-project-"));
});
afterEach(() => {
  rmSync(project, { recursive: true });
});

function write(file: string, text = "export default { entry: async () => {} };\n"): void {
  mkdirSync(path.dirname(path.join(project, file)), { recursive: true });
  writeFileSync(path.join(project, file), text);
}

/** The folder relative to the project, and the names of its profiles. */
async function found(named?: string) {
  const { folder, profiles } = await findAgents(named && path.join(project, named), project);
  return { folder: path.relative(project, folder), profiles: profiles.map(({ profile }) => profile) };
}

describe("findAgents", () => {
  test.each([
    { files: ["agents/a.ts", "src/b.ts"], folder: "agents", profiles: ["a"] },
    { files: ["src/agents/a.ts", "src/b.ts"], folder: "src/agents", profiles: ["a"] },
    { files: ["src/a.ts", "b.ts"], folder: "src", profiles: ["a"] },
    { files: ["agents/notes.txt", "src/a.ts"], folder: "src", profiles: ["a"] },
    { files: ["a.ts"], folder: "", profiles: ["a"] },
  ])("searches the usual folders in their order: $files", async ({ files, ...expected }) => {
    for (const file of files) write(file);
    expect(await found()).toEqual(expected);
  });

  test("takes the agent files that package.json names before any folder", async () => {
    write("agents/a.ts");
    write("lib/b.ts");
    write("package.json", JSON.stringify({ greenroom: { agents: { support: "lib/b.ts" } } }));
    expect(await found()).toEqual({ folder: "", profiles: ["support"] });
  });

  test("takes the named folder, also if another one has agent files", async () => {
    write("agents/a.ts");
    write("lib/b.ts");
    expect(await found("lib")).toEqual({ folder: "lib", profiles: ["b"] });
    await expect(found("elsewhere")).rejects.toThrow("does not exist");
    await expect(found("lib/b.ts")).rejects.toThrow("Name its folder, in which b.ts is found.");
  });

  test("returns the folder that a new project would use if there is no agent file", async () => {
    expect(await found()).toEqual({ folder: "agents", profiles: [] });
    mkdirSync(path.join(project, "src"));
    expect(await found()).toEqual({ folder: "src", profiles: [] });
  });
});
