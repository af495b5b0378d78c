// The janitor's purge of ended sessions.
import { expect, test } from "vitest";
import { sessionMetadata, sessions } from "../../../../libs/contracts/buckets.ts";
import { silentLog } from "../../../../libs/runtime/log.ts";
import { refsOf, saveTexts } from "../../../../services/gateway/sessions/store-text.ts";
import { startJanitor } from "../../../../services/janitor/janitor.ts";
import { endByApi, getReady } from "../../../kit/fixtures/session-steps.ts";
import { aSession } from "../../../kit/fixtures/sessions.ts";
import { createRandom } from "../../../kit/random.ts";
import { createSimClock } from "../../../kit/sim-clock.ts";
import { createMemoryServer } from "../../../simulation/nats/memory-server.ts";

test("purges the large metadata of a session together with its record, and no other", async () => {
  const clock = createSimClock();
  const bus = createMemoryServer({ clock, random: createRandom(1) }).connect("tester");
  const texts = { metadata: "m".repeat(5000), participantMetadata: "p" };
  const running = getReady(aSession("running", refsOf(texts)));
  const ended = endByApi(getReady(aSession("ended", refsOf(texts))));
  for (const record of [running, ended]) {
    await saveTexts(bus, record, texts);
    await bus.kv.update(sessions, record, 0);
  }
  const janitor = await startJanitor({
    ...{ bus, clock, log: silentLog, livekit: undefined },
    settings: { sweepMs: 10_000, keepEndedMs: 60_000, agentPingTimeoutMs: 300 },
  });
  const left = async () => (await bus.kv.entries(sessionMetadata)).map(({ value }) => value.sessionId);
  await clock.advance(50_000);
  expect((await left()).sort()).toEqual(["ended", "ended", "running", "running"]);
  await clock.advance(30_000);
  expect(await bus.kv.get(sessions, "t.ended")).toBeUndefined();
  expect(await left()).toEqual(["running", "running"]);
  await janitor.stop();
});
