// A person in a browser talks to `echo`, on a machine without any API keys of AI providers.
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { agentProcessPidOf, PATIENCE_MS, poolIs } from "../../browser/look.ts";
import { Person } from "../../browser/person.ts";
import { samplesOf, synthesize } from "../../kit/fixtures/speech.ts";
import { type Stack, startStack } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";

const SPOKEN = "The green room is where the actors wait.";

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ providers: 1, env: { GREENROOM_PROVIDERS: "support=livekit" } });
});
afterAll(() => stack?.stop());

describe("voice page without API keys", () => {
  test("plays the greeting of echo and the person's own words", async () => {
    const greeting = {
      text: "echo's greeting",
      sampleRate: 24_000,
      audio: samplesOf(await readFile(new URL("../../../agents/assets/hello.wav", import.meta.url))),
    };
    const spoken = await synthesize(SPOKEN, 48_000);
    const person = await Person.arrive(stack, { speech: { text: SPOKEN, before: 9, after: 9 } });
    try {
      await person.choose("echo");
      await poolIs(stack, "echo", { idle: 3, hot: 1 });
      const arrived = Date.now();
      const sessionId = await person.talk();

      const greeted = await person.hears(greeting, arrived);
      const echoed = await person.hears(spoken, arrived);
      expect(echoed).toBeGreaterThan(greeted + (greeting.audio.length / greeting.sampleRate) * 1000);
      await person.stop(sessionId);
      expect(person.browser.complaints).toEqual([]);
    } finally {
      await person.leave();
    }
  });

  test("plays the failover message and the person's own words after the agent process was killed", async () => {
    const back = {
      text: "echo's failover message",
      sampleRate: 24_000,
      audio: samplesOf(await readFile(new URL("../../../agents/assets/back.wav", import.meta.url))),
    };
    const spoken = await synthesize(SPOKEN, 48_000);
    const person = await Person.arrive(stack, { speech: { text: SPOKEN, before: 9, after: 9 } });
    try {
      await person.choose("echo");
      await poolIs(stack, "echo", { idle: 3, hot: 1 });
      const arrived = Date.now();
      const sessionId = await person.talk();
      await person.hears(spoken, arrived);
      const killedAt = Date.now();
      process.kill(await agentProcessPidOf(stack, sessionId), "SIGKILL");
      const backAt = await person.hears(back, killedAt);
      expect(await person.hears(spoken, backAt)).toBeGreaterThan(backAt);
      await person.stop(sessionId);
      expect(person.browser.complaints).toEqual([]);
    } finally {
      await person.leave();
    }
  }, 240_000);

  test("shows the assistant as disabled with the missing keys", async () => {
    const person = await Person.arrive(stack);
    try {
      const option = person.browser.page.locator('#profile option[value="assistant"]');
      await until(async () => (await option.textContent())?.includes("disabled"), {
        timeoutMs: PATIENCE_MS,
        everyMs: 100,
        what: "the page shows the assistant as disabled",
      });
      expect(await option.isDisabled()).toBe(true);
      expect(await option.getAttribute("title")).toMatch(/OPENAI_API_KEY and DEEPGRAM_API_KEY must be set/);
    } finally {
      await person.leave();
    }
  });

  test("lets a person choose a provider that nobody has tried, with the reason why it is unknown", async () => {
    const person = await Person.arrive(stack);
    try {
      await person.choose("support");
      const option = person.browser.page.locator('#profile option[value="support"]');
      expect(await option.textContent()).toBe("support (unknown)");
      expect(await option.getAttribute("title")).toMatch(/^No worker has taken a job lately/);
    } finally {
      await person.leave();
    }
  });
});
