// A hand-off that shares its batch with another tool call, under LiveKit's own worker and under Greenroom.
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { AgentDispatchClient } from "livekit-server-sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ChatMessage, lastOf, type OpenAiStandIn, startOpenAiStandIn } from "../../kit/fakes/openai.ts";
import { LiveKitWorker } from "../../kit/servers/livekit-workers.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import { type Visitor, visit } from "../../kit/stack/visitor.ts";
import { until } from "../../kit/until.ts";

const AGENT = join(import.meta.dirname, "../../agents/hands-over.ts");
const lookUpOrder = { tool: "lookUpOrder", arguments: {} };
const transfer = { tool: "transfer", arguments: {} };

/** The answers of the model, and the agent that serves after them. LiveKit's library loses a hand-off whose result is not the last. */
const turns = [
  {
    question: "Where is my order, and who can change my bill?",
    calls: [lookUpOrder, transfer],
    who: "billing",
  },
  {
    question: "Who can change my bill, and where is my order?",
    calls: [transfer, lookUpOrder],
    who: "the front desk",
  },
];

let openai: OpenAiStandIn;
let scene: Scene;
let worker: LiveKitWorker;

beforeAll(async () => {
  openai = await startOpenAiStandIn();
  openai.answerWith((messages) => callsFor(messages) ?? "Of course.");
  const keys = { OPENAI_API_KEY: "a-key", OPENAI_BASE_URL: openai.url };
  scene = await openScene({ agents: ["hands-over"], env: keys });
  const { livekit } = scene.stack;
  if (livekit === undefined) throw new Error("This stack has no LiveKit");
  worker = await LiveKitWorker.start(livekit, AGENT, "hands-over", keys);
});
afterAll(async () => {
  await worker?.kill9();
  await scene?.stop();
  await openai?.close();
});

/** The calls that the model wants before it has their results. */
const callsFor = (messages: readonly ChatMessage[]) =>
  messages.some(({ role }) => role === "tool")
    ? undefined
    : turns.find(({ question }) => question === lastOf(messages, "user"))?.calls;

const places: Record<string, () => Promise<Visitor>> = {
  "LiveKit's own worker": async () => {
    const { url, apiKey, apiSecret } = scene.stack.livekit!;
    const room = `batch-${randomUUID()}`;
    await new AgentDispatchClient(url.replace(/^ws/, "http"), apiKey, apiSecret).createDispatch(
      room,
      "hands-over",
    );
    return await visit(await scene.tokenFor({ room, identity: "ada" }));
  },
  Greenroom: async () => visit(await scene.start({ profile: "hands-over", userId: "ada" })),
};

const cases = turns.flatMap((turn) => Object.keys(places).map((place) => ({ place, ...turn })));

test.each(cases)("serves with $who under $place, after: $question", async ({ place, question, who }) => {
  openai.chats.length = 0;
  const ada = await places[place]!();
  const shows = (name: string, value: string) =>
    until(() => ada.others().some(({ attributes }) => attributes[name] === value), {
      timeoutMs: PATIENCE_MS,
      what: () => `the agent has ${name}: ${value}; the requests are ${JSON.stringify(openai.chats)}`,
    });
  const asks = (isAsked: (messages: readonly ChatMessage[]) => boolean) =>
    until(() => openai.chats.find(({ messages }) => isAsked(messages)), {
      timeoutMs: PATIENCE_MS,
      what: () => `an agent asks its model; the requests are ${JSON.stringify(openai.chats)}`,
    });
  try {
    await shows("serves", "the front desk");
    await ada.write(question);
    await shows("order", "on its way");
    // The turn is over when the next agent has entered, or when the same one tells its model the results.
    if (who === "billing") await shows("serves", who);
    else await asks((messages) => messages.some(({ role }) => role === "tool"));
    await ada.write("Thank you.");
    const { messages } = await asks((all) => lastOf(all, "user") === "Thank you.");
    expect(lastOf(messages, "system")).toContain(`You are ${who}.`);
  } finally {
    await ada.leave();
  }
});
