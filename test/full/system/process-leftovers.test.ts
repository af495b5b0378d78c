// An agent process serves many calls, so a call must leave no thread behind in it.
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { call } from "../../bench/load/caller.ts";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import type { Json } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";

const CALLS = 6;
/** Long enough for the user to receive the ready message on a busy machine. */
const TALK_MS = 5000;
/** The native library's thread for an agent's sound, cut to the length that Linux keeps of a name. */
const SOUNDING = "AudioSourceCapt";

// Threads are counted in /proc.
describe.runIf(process.platform === "linux")("agent process", () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await openScene({ agents: ["untidy"] });
  });
  afterAll(() => scene?.stop());

  /** The sound threads of all agent processes of the host. */
  const soundingThreads = async (): Promise<number> => {
    const [host] = await scene.hosts();
    const pids = host.processes.map(({ pid }: Json) => pid as number);
    return pids.flatMap(threadsOf).filter((name: string) => name === SOUNDING).length;
  };

  test("keeps no sound thread after the call of an agent", async () => {
    let most = 0;
    for (let number = 0; number < CALLS; number++) {
      const answer = await scene.start({ profile: "untidy" });
      expect(await call(answer, TALK_MS)).toBe(true);
      most = Math.max(most, await soundingThreads());
      await scene.end(answer.sessionId);
      await scene.ended(answer.sessionId);
    }
    // Without threads during the calls, their absence afterwards would prove nothing.
    expect(most).toBeGreaterThan(0);
    await until(async () => (await soundingThreads()) === 0, {
      timeoutMs: PATIENCE_MS,
      what: "the last of these threads is gone",
    });
    await expectNothingLeft(scene);
  });
});

function threadsOf(pid: number): string[] {
  const dir = `/proc/${pid}/task`;
  return readdirSync(dir).flatMap((thread) => {
    try {
      return readFileSync(`${dir}/${thread}/comm`, "utf8").trim();
    } catch {
      return []; // The thread has just ended.
    }
  });
}
