// A person in a browser talks with `echo`, on a machine that has no provider's key.
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { poolIs, stagePidOf } from "../../browser/look.ts";
import { Person } from "../../browser/person.ts";
import { samplesOf, synthesize } from "../../kit/fixtures/speech.ts";
import { type Stack, startStack } from "../../kit/stack/stack.ts";

const SPOKEN = "The green room is where the actors wait.";

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack?.stop());

test("without any key a person is greeted by echo, and hears what they said", async () => {
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

test("a person whose echo is killed hears that it is back, and is heard again", async () => {
  const back = {
    text: "that echo is back",
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
    process.kill(await stagePidOf(stack, sessionId), "SIGKILL");
    const isBack = await person.hears(back, killedAt);
    expect(await person.hears(spoken, isBack)).toBeGreaterThan(isBack);
    await person.stop(sessionId);
    expect(person.browser.complaints).toEqual([]);
  } finally {
    await person.leave();
  }
}, 240_000);

test("the page says which keys the assistant lacks, and does not offer it", async () => {
  const person = await Person.arrive(stack);
  try {
    const option = person.browser.page.locator('#profile option[value="assistant"]');
    await option.waitFor({ state: "attached" });
    expect(await option.isDisabled()).toBe(true);
    expect(await option.textContent()).toContain("disabled");
    expect(await option.getAttribute("title")).toMatch(/OPENAI_API_KEY and DEEPGRAM_API_KEY must be set/);
  } finally {
    await person.leave();
  }
});
