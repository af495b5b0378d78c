// A chaos run in which all went well: what the checks must find nothing wrong with.
import type { SessionEvent } from "../../libs/contracts/session.ts";
import { address, at, type Draft, ENDED_MS, Story } from "./chaos-story.ts";

/**
 * Four sessions: `calm` begins hot and its user hangs up; `moved` loses its agent to a kill and goes on with another,
 * while LiveKit still lists the dead one; `slow` is declined, then its agent never joins and is overdue; `late`
 * is ready until the end of all is asked for.
 * And one task, `called`.
 */
export function healthyRun(): Draft {
  const story = new Story();
  story.ask(1000, "calm");
  story.choose(1010, "calm", "h1", "hot");
  story.serve(1050, "calm", { slot: "slot-1", room: "standby-slot-1", untilMs: 20_100 });
  story.forge(5000, "repeated", story.draft.said[1]?.event as SessionEvent);
  story.say(20_000, "calm", { type: "user_left" } as never);

  story.ask(21_000, "moved");
  story.choose(21_010, "moved", "h1", "warm");
  story.serve(21_100, "moved", { slot: "slot-2", untilMs: 46_000 });
  story.say(30_000, "moved", { type: "agent_lost", why: "the stage process ended (SIGKILL)" } as never);
  story.choose(30_010, "moved", "h2", "warm");
  story.serve(30_100, "moved", { slot: "slot-3", untilMs: 50_100 });
  const old = { ...address("moved", at(31_000)), attempt: 1, host: "h1", epoch: 3 };
  story.forge(31_000, "old_attempt", { ...old, type: "user_left" });
  story.say(50_000, "moved", {
    type: "agent_ended",
    why: "the agent shut down",
    worthRepeating: true,
  } as never);
  story.nonsense(51_000, "session.t.moved.joined");

  story.ask(52_000, "slow");
  story.choose(52_010, "slow", "h1", "warm");
  story.decline(52_050, "slow", "h1 declined: the host is full");
  story.choose(52_060, "slow", "h2", "warm");
  const waited = "the agent on host h2 did not join within 10.2 s";
  const overdue = { state: "dispatched", kind: "join", waitedMs: 10_200, why: waited };
  story.say(62_300, "slow", { type: "overdue", ...overdue } as never);
  story.choose(62_600, "slow", "h1", "warm");
  story.serve(62_700, "slow", { slot: "slot-4", untilMs: ENDED_MS + 100 });

  story.ask(70_000, "late");
  story.choose(70_010, "late", "h2", "warm");
  story.serve(70_100, "late", { slot: "slot-5", untilMs: ENDED_MS + 100 });
  for (const id of ["slow", "late"])
    story.say(ENDED_MS, id, {
      type: "end_requested",
      reason: "completed",
      why: "the API was asked to",
    } as never);
  story.task("called");
  story.look();
  return story.end();
}
