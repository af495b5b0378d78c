// `greenroom download-files`, in projects with plugins that note what is asked of them.
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { compiledFile, repositoryRoot } from "../../../../libs/runtime/compiled.ts";

const plugin = (download: string) => ({
  "node_modules/@livekit/agents-plugin-fake/package.json":
    '{ "name": "@livekit/agents-plugin-fake", "type": "module", "main": "index.js" }',
  "node_modules/@livekit/agents-plugin-fake/index.js": `
    import { writeFileSync } from "node:fs";
    import { Plugin } from "@livekit/agents";
    class Fake extends Plugin {
      downloadFiles() {
        ${download}
      }
    }
    Plugin.registerPlugin(new Fake({ title: "fake", version: "1.0.0", package: "@livekit/agents-plugin-fake" }));`,
});
const NOTE = 'writeFileSync("downloaded", "by " + import.meta.url);';

/** A project with its own @livekit/agents. An old one has no command. */
function makeProject(files: Record<string, string>, own: "linked" | "old" = "linked"): string {
  const project = mkdtempSync(join(tmpdir(), "greenroom-download-"));
  onTestFinished(() => rmSync(project, { recursive: true }));
  for (const [file, text] of Object.entries({ "package.json": '{ "type": "module" }', ...files })) {
    mkdirSync(dirname(join(project, file)), { recursive: true });
    writeFileSync(join(project, file), text);
  }
  const agents = join(project, "node_modules/@livekit/agents");
  mkdirSync(dirname(agents), { recursive: true });
  if (own === "linked") symlinkSync(join(repositoryRoot, "node_modules/@livekit/agents"), agents);
  if (own === "old") {
    mkdirSync(agents);
    writeFileSync(join(agents, "package.json"), '{ "name": "@livekit/agents", "main": "index.cjs" }');
    writeFileSync(join(agents, "index.cjs"), "");
  }
  return project;
}

async function download(folder: string): Promise<{ exitCode: number | null; output: string }> {
  const args = [compiledFile("cli/greenroom.ts"), "download-files", folder];
  const child = spawn(process.execPath, args, { cwd: "/", env: { PATH: process.env.PATH } });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => (output += part));
  const exitCode = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { exitCode, output };
}

test("lets each project download the files of its plugins once, in its own folder", async () => {
  const project = makeProject({ "src/a.ts": "", "src/b.ts": "", ...plugin(NOTE) });
  const { exitCode, output } = await download(join(project, "src"));
  expect([exitCode, output]).toEqual([0, expect.stringContaining("fake")]);
  expect(output.match(/Finished downloading files/g)).toHaveLength(1);
  expect(readFileSync(join(project, "downloaded"), "utf8")).toContain("agents-plugin-fake");
}, 30_000);

test("exits with 1 when a download fails, with the reason", async () => {
  const project = makeProject({ "src/a.ts": "", ...plugin('throw new Error("no model there");') });
  const { exitCode, output } = await download(join(project, "src"));
  expect([exitCode, output]).toEqual([1, expect.stringContaining("no model there")]);
}, 30_000);

test("runs the file's own command in a project with an @livekit/agents that has none", async () => {
  const agent = `import { writeFileSync } from "node:fs";
    writeFileSync("downloaded", process.argv[2] satisfies string | undefined ?? "");`;
  const project = makeProject({ "src/a.ts": agent }, "old");
  expect(await download(join(project, "src"))).toMatchObject({ exitCode: 0 });
  expect(readFileSync(join(project, "downloaded"), "utf8")).toBe("download-files");
}, 30_000);

test("reports a folder that can't be read, and one without agent files", async () => {
  const project = makeProject({ "src/README.md": "" });
  expect(await download(join(project, "nowhere"))).toEqual({
    exitCode: 1,
    output: expect.stringContaining("can't be read"),
  });
  expect(await download(join(project, "src"))).toEqual({
    exitCode: 0,
    output: expect.stringContaining("Found no agent files"),
  });
  expect(existsSync(join(project, "downloaded"))).toBe(false);
}, 30_000);
