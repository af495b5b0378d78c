// The end of a session: its room, and the people in it.
import { describe, expect, test } from "vitest";
import { decideClose, isPerson } from "../../../../libs/livekit/rooms.ts";

const agent = { identity: "agent-s-1", isAgent: true };
const ada = { identity: "ada", isAgent: false };
const ben = { identity: "ben", isAgent: false };
const phone = { identity: "sip_1", isAgent: false, isPhone: true as const };
const ingress = { identity: "camera", isAgent: false, isMachine: true as const };
const own = { agent: agent.identity, isOwnRoom: true, hasFailed: false };
const named = { ...own, isOwnRoom: false };

describe("decideClose", () => {
  test.each([
    ["nobody", []],
    ["a zombie", [agent]],
    ["an ingress", [ingress]],
    ["a phone alone", [phone, ingress]],
  ])("deletes the session's own room with %s in it", (_, inside) => {
    expect(decideClose(inside, own)).toBe("delete");
  });

  test.each([
    ["one person", [ada]],
    ["two people", [ada, ben]],
    ["a phone and a colleague", [phone, ada]],
    ["two phones", [phone, { ...phone, identity: "sip_2" }]],
  ])("leaves the session's own room to %s, and removes only the agent", (_, people) => {
    expect(decideClose([agent, ...people], own)).toEqual({ remove: [agent.identity] });
  });

  test("keeps another's room, but hangs up a phone that is alone in it", () => {
    expect(decideClose([], named)).toEqual({ remove: [] });
    expect(decideClose([ingress], named)).toEqual({ remove: [] });
    expect(decideClose([agent, phone], named)).toEqual({ remove: [agent.identity, phone.identity] });
    expect(decideClose([agent, phone, ada], named)).toEqual({ remove: [agent.identity] });
  });

  test("keeps the call of a phone that another agent serves", () => {
    const other = { identity: "specialist", isAgent: true };
    expect(decideClose([agent, phone, other], own)).toEqual({ remove: [agent.identity] });
    const earlier = { identity: "agent-s-0", isAgent: true };
    expect(decideClose([earlier, phone], own)).toBe("delete");
  });

  test("disconnects a person who is alone in the session's own room after a failure", () => {
    const failed = { ...own, hasFailed: true };
    expect(decideClose([agent, ada], failed)).toBe("delete");
    expect(decideClose([agent, ada, ben], failed)).toEqual({ remove: [agent.identity] });
    expect(decideClose([agent, ada], { ...failed, isOwnRoom: false })).toEqual({ remove: [agent.identity] });
  });

  test("removes every agent if they are not known by their identities", () => {
    const late = { identity: "agent-AJ_1", isAgent: true };
    expect(decideClose([late, ada], { ...named, agent: "all" })).toEqual({ remove: [late.identity] });
  });

  test("leaves agents of others in the room with its people", () => {
    const translator = { identity: "translator", isAgent: true };
    expect(decideClose([agent, translator, ada], own)).toEqual({ remove: [agent.identity] });
  });
});

test("counts neither agents nor machines as people", () => {
  expect([agent, ada, phone, ingress].filter(isPerson)).toEqual([ada, phone]);
});
