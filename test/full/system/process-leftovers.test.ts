// A stage serves many calls, so each must leave nothing behind in it: no thread, and nothing that grows.
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { call } from "../../bench/load/caller.ts";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import type { Json } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";

const CALLS = 6;
/** Long enough for its user to hear of the agent on a busy machine. */
const TALK_MS = 5000;
/** The native library's thread for what an agent sounds, cut to the length that Linux keeps of a name. */
const SOUNDING = "AudioSourceCapt";

// Threads are counted by /proc.
describe.runIf(process.platform === "linux")("after calls with audio", () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await openScene({ agents: ["untidy"] });
  });
  afterAll(() => scene?.stop());

  /** Of all stages of a host, each an agent's that sounds something or has left it behind. */
  const soundingThreads = async (): Promise<number> => {
    const [host] = await scene.hosts();
    const pids = host.processes.map(({ pid }: Json) => pid as number);
    return pids.flatMap(threadsOf).filter((name: string) => name === SOUNDING).length;
  };

  test("no stage has a thread left of what its agents sounded", async () => {
    let most = 0;
    for (let number = 0; number < CALLS; number++) {
      const answer = await scene.start({ profile: "untidy" });
      expect(await call(answer, TALK_MS)).toBe(true);
      most = Math.max(most, await soundingThreads());
      await scene.end(answer.sessionId);
      await scene.ended(answer.sessionId);
    }
    // Or nothing is shown by there being none afterwards.
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
      return []; // It ended meanwhile.
    }
  });
}
