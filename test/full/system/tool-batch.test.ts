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
const BATCH = [
  { tool: "lookUpOrder", arguments: {} },
  { tool: "transfer", arguments: {} },
];

let openai: OpenAiStandIn;
let scene: Scene;
let worker: LiveKitWorker;

beforeAll(async () => {
  openai = await startOpenAiStandIn();
  openai.answerWith((messages) => (isAskedOnly(messages) ? BATCH : "Of course."));
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

const QUESTION = "Where is my order, and who can change my bill?";
const isAskedOnly = (messages: readonly ChatMessage[]): boolean =>
  lastOf(messages, "user") === QUESTION && !messages.some(({ role }) => role === "tool");

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

test.each(Object.keys(places))("runs both tools and hands over under %s", async (place) => {
  openai.chats.length = 0;
  const ada = await places[place]!();
  const shows = (name: string, value: string) =>
    until(() => ada.others().some(({ attributes }) => attributes[name] === value), {
      timeoutMs: PATIENCE_MS,
      what: () => `the agent has ${name}: ${value}; the requests are ${JSON.stringify(openai.chats)}`,
    });
  try {
    await shows("serves", "front desk");
    await ada.write(QUESTION);
    await shows("order", "on its way");
    await shows("serves", "billing");
    await ada.write("Thank you.");
    const last = await until(
      () => openai.chats.find(({ messages }) => lastOf(messages, "user") === "Thank you."),
      { timeoutMs: PATIENCE_MS, what: "billing asks its model" },
    );
    expect(lastOf(last.messages, "system")).toContain("You are billing.");
  } finally {
    await ada.leave();
  }
});
