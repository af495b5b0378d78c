// Agent files that change while their host runs.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { expectNothingLeft } from "../kit/checks/nothing-left.ts";
import { openScene, PATIENCE_MS, type Scene } from "../kit/stack/scene.ts";
import { type Visitor, visit } from "../kit/stack/visitor.ts";
import { until } from "../kit/until.ts";

const agent = (version: string, isolation = "shared", helper = "_words.ts") => `
  import { defineAgent, type JobContext, voice } from "@livekit/agents";
  import { words } from "./${helper}";

  export const pool = { min: 1, hot: 0, max: 4, isolation: "${isolation}" };
  export default defineAgent({
    entry: async (ctx: JobContext) => {
      await ctx.connect();
      ctx.room.localParticipant?.registerRpcMethod("version", async () => ${JSON.stringify(version)} + words);
      const session = new voice.AgentSession({ vad: null, turnHandling: { turnDetection: null } });
      await session.start({
        agent: new voice.Agent({ instructions: "" }),
        room: ctx.room,
        inputOptions: { audioEnabled: false },
      });
    },
  });`;
const words = (text: string) => `export const words = ${JSON.stringify(text)};`;

const folder = mkdtempSync(join(tmpdir(), "greenroom-reload-"));
const write = (file: string, text: string) => writeFileSync(join(folder, file), text);

let scene: Scene;
const visitors: Visitor[] = [];
beforeAll(async () => {
  write("changes.ts", agent("1"));
  write("_words.ts", words("a"));
  scene = await openScene({
    agents: [],
    calls: 1,
    env: { GREENROOM_AGENTS_DIR: folder, GREENROOM_RELOAD_AGENTS: "true" },
  });
  await scene.pool("changes", { idle: 1 });
});
afterEach(async () => {
  await Promise.all(visitors.splice(0).map((visitor) => visitor.leave()));
  await expectNothingLeft(scene);
});
afterAll(async () => {
  await scene?.stop();
  rmSync(folder, { recursive: true });
});

async function call(profile = "changes"): Promise<{ id: string; visitor: Visitor }> {
  const answer = await scene.start({ profile });
  const visitor = await visit(answer);
  visitors.push(visitor);
  return { id: answer.sessionId, visitor };
}

async function versionOf({ visitor }: { visitor: Visitor }): Promise<string> {
  const found = await until(() => visitor.others()[0], {
    timeoutMs: PATIENCE_MS,
    what: "the agent is there",
  });
  return await visitor.call(found.identity, "version", "");
}

/** Starts sessions until one has the version. */
const becomes = (version: string, profile?: string) =>
  until(
    async () => {
      const next = await call(profile);
      const found = await versionOf(next);
      await scene.end(next.id);
      return found === version;
    },
    { timeoutMs: PATIENCE_MS, everyMs: 500, what: `a session has the version ${version}` },
  );

describe("a changed agent file", () => {
  test("serves new sessions, and a running one continues on the old code", async () => {
    const before = await call();
    expect(await versionOf(before)).toBe("1a");
    write("changes.ts", agent("2"));
    await becomes("2a");
    write("_words.ts", words("b"));
    await becomes("2b");
    expect(await versionOf(before)).toBe("1a");
    await scene.end(before.id);
  });

  test("gets a new version, and the record and the call record of a running call keep the old one", async () => {
    const current = async () => (await scene.hosts())[0].profiles.changes.version;
    const first = await current();
    expect(first).toMatch(/^[0-9a-f]{12}$/);
    const before = await call();
    write("_words.ts", words("c"));
    await until(async () => (await current()) !== first, {
      timeoutMs: PATIENCE_MS,
      what: "the host has the version of the changed files",
    });
    const second = await current();
    await becomes("2c");
    const after = await call();
    expect((await scene.session(before.id)).version).toBe(first);
    expect((await scene.session(after.id)).version).toBe(second);
    expect((await scene.health()).profiles.changes.versions).toEqual([second]);
    for (const [{ id }, version] of [
      [before, first],
      [after, second],
    ] as const) {
      await scene.end(id);
      const record = await until(
        async () => {
          const { status, body } = await scene.stack.get(`/api/calls/${id}`);
          return status === 200 ? body : undefined;
        },
        { timeoutMs: PATIENCE_MS, what: "the call is recorded" },
      );
      expect(record).toMatchObject({ version, attempts: [{ attempt: 1, version }] });
    }
    const { body } = await scene.stack.get(`/api/calls?version=${first}`);
    expect(body.calls.map(({ sessionId }: { sessionId: string }) => sessionId)).toContain(before.id);
    expect(body.calls.map(({ sessionId }: { sessionId: string }) => sessionId)).not.toContain(after.id);
    write("_words.ts", words("b"));
    await becomes("2b");
  });

  test("leaves the old agents in service while it does not load", async () => {
    write("changes.ts", agent("3"));
    await becomes("3b");
    write("changes.ts", "export default 1 +;");
    await until(
      async () =>
        scene.stack.children.some((child) => child.text().includes("failed to load the changed file")),
      { timeoutMs: PATIENCE_MS, what: "the host warns of the file" },
    );
    const next = await call();
    expect(await versionOf(next)).toBe("3b");
    await scene.end(next.id);
    write("changes.ts", agent("4"));
    await becomes("4b");
  });

  test.each([
    ["CommonJS in new processes", "single.ts", "_single.ts", "process"],
    ["ES modules in new processes", "module.mts", "_module.mts", "process"],
    ["CommonJS in the process of others", "copy.ts", "_copy.ts", "module"],
    ["ES modules in the process of others", "copies.mts", "_copies.mts", "module"],
  ])("loads its old code as %s while it does not load itself", async (_, file, helper, isolation) => {
    const [profile = ""] = file.split(".");
    write(helper, words("a"));
    write(file, agent("1", isolation, helper));
    await scene.pool(profile, { idle: 1 });
    rmSync(join(folder, helper));
    write(file, "export default 1 +;");
    const error = async () => (await scene.health()).profiles[profile].error;
    await until(async () => (await error())?.startsWith("the changed file failed to load"), {
      timeoutMs: PATIENCE_MS,
      what: "health shows an error",
    });
    const pids = new Set<number>();
    for (let calls = 0; calls < 3; calls++) {
      await scene.pool(profile, { idle: 1 });
      const next = await call(profile);
      expect(await versionOf(next)).toBe("1a");
      pids.add((await scene.slotOf(next.id))?.agentProcess.pid);
      await scene.end(next.id);
    }
    expect(pids.size).toBe(isolation === "process" ? 3 : 1);
    write(helper, words("b"));
    write(file, agent("2", isolation, helper));
    await becomes("2b", profile);
    expect(await error()).toBeUndefined();
    rmSync(join(folder, file));
    await until(async () => (await scene.health()).profiles[profile] === undefined, {
      timeoutMs: PATIENCE_MS,
      what: "the profile is gone",
    });
  });

  test("keeps its profile when it gets another extension", async () => {
    const before = await call();
    rmSync(join(folder, "changes.ts"));
    write("changes.mts", agent("6"));
    const isAlone = async () => {
      const { busy, warm, warming } = (await scene.health()).profiles.changes;
      return busy === 1 && warm + warming === 0;
    };
    await until(isAlone, { timeoutMs: PATIENCE_MS, what: "only the running session is left" });
    expect(await versionOf(before)).toBe("4b");
    await scene.end(before.id);
    await scene.pool("changes", { idle: 1 });
    await becomes("6b");
  });

  test("becomes a profile when it is new, and is none any more when it is deleted", async () => {
    write("fresh.ts", agent("5"));
    await scene.pool("fresh", { idle: 1 });
    await becomes("5b", "fresh");
    rmSync(join(folder, "fresh.ts"));
    await until(async () => (await scene.stack.get("/api/health")).body.profiles.fresh === undefined, {
      timeoutMs: PATIENCE_MS,
      what: "the profile is gone",
    });
  });
});
