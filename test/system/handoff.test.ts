// A hand-off of LiveKit's own library, without Greenroom: a fact that docs/guides/troubleshooting.md describes.
import { initializeLogger, llm, voice } from "@livekit/agents";
import { beforeAll, describe, expect, test } from "vitest";

beforeAll(() => initializeLogger({ pretty: false, level: "silent" }));

const tools = (order: string[]) => {
  const handOff = llm.tool({
    description: "Hands the caller to the specialist.",
    execute: async () => llm.handoff({ agent: new voice.Agent({ id: "specialist", instructions: "" }) }),
  });
  const note = llm.tool({ description: "Takes a note.", execute: async () => "noted" });
  return Object.fromEntries(order.map((name) => [name, name === "handOff" ? handOff : note]));
};

/** The agent that speaks after a turn in which the model calls these tools in this order. */
async function agentAfter(order: string[]): Promise<string> {
  const toolCalls = order.map((name) => ({ name, args: {} }));
  const session = new voice.AgentSession({
    llm: new voice.testing.FakeLLM([{ input: "hello", content: "", toolCalls }]),
    vad: null,
    turnHandling: { turnDetection: null },
  });
  await session.start({
    agent: new voice.Agent({ id: "reception", instructions: "", tools: tools(order) }),
  });
  try {
    await session.run({ userInput: "hello" }).wait();
    return session.currentAgent.id;
  } finally {
    await session.close();
  }
}

describe("a hand-off in LiveKit's own AgentSession", () => {
  test("is lost if another tool of the same turn returns after it", async () => {
    expect(await agentAfter(["handOff"])).toBe("specialist");
    expect(await agentAfter(["note", "handOff"])).toBe("specialist");
    expect(await agentAfter(["handOff", "note"])).toBe("reception");
  });
});
