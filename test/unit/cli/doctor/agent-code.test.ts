// The code of agent files, for checks of what they use.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { agentCodeIn } from "../../../../cli/doctor/agent-code.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "greenroom-code-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, text: string): void {
  mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
  writeFileSync(path.join(folder, name), text);
}

describe("agentCodeIn", () => {
  test("contains the modules that an agent file imports, without comments and without helpers of their own", async () => {
    write(
      "main.ts",
      `import { defineAgent } from "@livekit/agents";
       import { model } from "./model.ts";
       // OPENAI_API_KEY is not needed.
       export default defineAgent({ entry: async () => console.log(model) });`,
    );
    write("model.ts", 'export const model: string = "openai/gpt"; /* DEEPGRAM_API_KEY */');
    const [main, ...others] = await agentCodeIn(folder);
    expect(others).toEqual([]);
    expect(main?.profile).toBe("main");
    expect(main?.text).toContain("openai/gpt");
    expect(main?.text).not.toMatch(/OPENAI_API_KEY|DEEPGRAM_API_KEY/);
  });

  test("contains the text of a file that does not compile", async () => {
    write("broken.ts", "export default {{ OPENAI_API_KEY");
    expect(await agentCodeIn(folder)).toEqual([
      { profile: "broken", text: "export default {{ OPENAI_API_KEY" },
    ]);
  });

  test("is empty for a folder that does not exist", async () => {
    expect(await agentCodeIn(path.join(folder, "missing"))).toEqual([]);
  });
});
