// Sources of facts, opened despite invalid settings.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { openSources } from "../../../../cli/doctor/sources.ts";

test("uses defaults for invalid settings", async () => {
  const sources = await openSources({ GREENROOM_PORT: "many", NATS_URL: "nats://10.0.0.1:4222" });
  expect(sources.config.GREENROOM_PORT).toBe(8080);
  expect(sources.natsUrl).toBe("nats://10.0.0.1:4222");
  expect(sources.isNatsGiven).toBe(true);
});

test("reads the .env files of the agents' project, below the environment", async () => {
  const project = mkdtempSync(path.join(os.tmpdir(), "greenroom-sources-"));
  try {
    writeFileSync(path.join(project, "package.json"), "{}");
    writeFileSync(path.join(project, ".env"), "FIRST=env\nSECOND=env\nTHIRD=env\n");
    writeFileSync(path.join(project, ".env.local"), "FIRST=local\nSECOND=local\n");
    const { agentEnv, agentsDir, env } = await openSources({ FIRST: "own" }, { folder: project });
    expect(agentEnv).toEqual({ FIRST: "own", SECOND: "local", THIRD: "env" });
    expect(agentsDir).toBe(project);
    expect(env).toEqual({ FIRST: "own" });
  } finally {
    rmSync(project, { recursive: true });
  }
});
