// Launches while providers services crash and the bus drops, repeats, delays and loses messages.
import { expect, test } from "vitest";
import { sessionEvents } from "../../../../../libs/contracts/streams.ts";
import { AT } from "../../../../kit/fixtures/sessions.ts";
import { createRandom } from "../../../../kit/random.ts";
import { providerWorld } from "../../../../kit/worlds/provider-world.ts";

const SESSIONS = 8;
const SEEDS = Array.from({ length: 12 }, (_, index) => index + 1);

const FAULTS = {
  hopMs: [0, 20] as const,
  slow: 0.05,
  slowMs: 500,
  drop: 0.05,
  repeat: 0.1,
  loseAck: 0.1,
  ambiguous: 0.05,
  resend: 0.02,
  refuse: 0.02,
  stale: 0.1,
  staleMs: 500,
  skip: 0.1,
};

test.each(SEEDS)("decides every session and launches no attempt twice (seed %i)", async (seed) => {
  const random = createRandom(seed);
  const { clock, server, providers, request, provider, record, launch, client, outcome } =
    await providerWorld({
      janitor: true,
      seed,
    });
  provider.first = { is: "ready", users: 1 };
  const instances = [await providers("c-1"), await providers("c-2")];
  /** Runs the test's own requests without faults, because they are not under test. */
  const inCalm = async <T>(work: () => Promise<T>): Promise<T> => {
    server.calm();
    const done = await work();
    server.setFaults(FAULTS);
    return done;
  };
  const ids = Array.from({ length: SESSIONS }, (_, index) => `s${index}`);
  let next = 3;
  for (const id of ids) {
    await inCalm(() => request(id));
    await clock.advance(random() * 2000);
    // From time to time an instance dies and another starts, or an agent is lost.
    if (random() < 0.4) {
      instances.shift()?.kill();
      instances.push(await inCalm(() => providers(`c-${next++}`)));
    }
    const job = provider.jobs[Math.floor(random() * provider.jobs.length)];
    if (job !== undefined && random() < 0.3) job.observation = { is: "launched" };
  }
  await clock.advance(20_000);
  server.calm();
  await clock.advance(120_000);
  for (const id of ids)
    expect(record(id)?.state, `${id}: ${JSON.stringify(record(id))}`).toMatch(/^(ready|ended)$/);
  expect(new Set(provider.launched).size, provider.launched.join()).toBe(provider.launched.length);
  // The provider has exactly the jobs that the records name.
  const named = ids.flatMap((id) => {
    const session = record(id);
    return session?.state === "ready" ? [`${id}.${session.attempt}`] : [];
  });
  expect(provider.jobs.map(({ order }) => `${order.sessionId}.${order.attempt}`).sort()).toEqual(
    named.sort(),
  );

  for (const id of ids) {
    const ended = { tenant: "t", sessionId: id, at: AT, endedReason: "completed", reason: "bye" } as const;
    await outcome(client.streams.publish(sessionEvents, { type: "end_requested", ...ended }));
  }
  await clock.advance(30_000);
  expect(provider.jobs).toEqual([]);
  for (const id of ids) {
    const last = record(id)?.attempt ?? 1;
    for (let attempt = 1; attempt <= last; attempt++) {
      const state = launch(id, attempt)?.state;
      if (state !== undefined) expect(state, `${id}.${attempt}`).toBe("over");
    }
  }
});
