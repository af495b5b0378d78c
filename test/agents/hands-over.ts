// A test agent whose model calls two tools at once, one of which hands the conversation to another agent.
import { defineAgent, getJobContext, type JobContext, llm, voice } from "@livekit/agents";
import * as openai from "@livekit/agents-plugin-openai";
import { z } from "zod";

async function show(attributes: Record<string, string>): Promise<void> {
  await getJobContext().room.localParticipant?.setAttributes(attributes);
}

const lookUpOrder = llm.tool({
  description: "Looks up where an order is.",
  parameters: z.object({}),
  execute: async () => {
    // LiveKit keeps the results in the order of their arrival, which has to be the order of the calls.
    void show({ order: "on its way" });
    return "order 7 is on its way";
  },
});

const transfer = llm.tool({
  description: "Transfers the user to billing.",
  parameters: z.object({}),
  execute: async () => llm.handoff({ agent: new Billing(), returns: "transferred to billing" }),
});

class Billing extends voice.Agent {
  constructor() {
    super({ instructions: "You are billing." });
  }

  override async onEnter(): Promise<void> {
    await show({ serves: "billing" });
  }
}

export default defineAgent({
  entry: async (ctx: JobContext) => {
    const session = new voice.AgentSession({ llm: new openai.LLM({ model: "gpt-4.1-mini" }) });
    const agent = new voice.Agent({
      instructions: "You are the front desk.",
      tools: { lookUpOrder, transfer },
    });
    await session.start({ agent, room: ctx.room, outputOptions: { audioEnabled: false } });
    await ctx.connect();
    await show({ serves: "the front desk" });
  },
});
