// The provider `livekit` against a scripted LiveKit: which agent belongs to which session.
import { describe, expect, test } from "vitest";
import type { LaunchRecord } from "../../../../../libs/contracts/providers/provider.ts";
import type { AgentDispatch, Created, DispatchJob } from "../../../../../libs/livekit/agent-dispatch.ts";
import { clientAnswerOfError } from "../../../../../libs/livekit/ask-agent.ts";
import type { ParticipantInfo } from "../../../../../libs/livekit/rooms.ts";
import type { LaunchOrder } from "../../../../../services/providers/drivers/driver.ts";
import { isReady, livekitDriver, metadataOf } from "../../../../../services/providers/drivers/livekit.ts";
import { AT } from "../../../../kit/fixtures/sessions.ts";
import { createSimClock } from "../../../../kit/sim-clock.ts";

const NAME = "support-agent";
const ROOM = "session-s";

const anOrder = (attempt = 1, sessionId = "s"): LaunchOrder => ({
  tenant: "t",
  sessionId,
  attempt,
  profile: "support",
  room: ROOM,
  user: { id: "u", name: "U" },
  metadata: { topic: "billing" },
  recovering: false,
  longestMs: 60_000,
});

const aLaunch = (changed: Partial<LaunchRecord> = {}): LaunchRecord => ({
  v: 1,
  tenant: "t",
  sessionId: "s",
  attempt: 1,
  provider: "livekit",
  profile: "support",
  room: ROOM,
  state: "launched",
  by: "control-1",
  takeovers: 0,
  at: AT,
  writeId: "op",
  ...changed,
});

const anAgent = (
  identity: string,
  joinedAtMs: number,
  attributes: Record<string, string> = {},
): ParticipantInfo => ({
  identity,
  isAgent: true,
  joinedAtMs,
  attributes: { "lk.agent_name": NAME, ...attributes },
});
const LISTENING = { "lk.agent.state": "listening" };
const aUser: ParticipantInfo = { identity: "u", isAgent: false, joinedAtMs: 0, attributes: {} };

const aDispatch = (
  id: string,
  createdAtMs: number,
  order: LaunchOrder,
  jobs: DispatchJob[] = [],
): AgentDispatch => ({
  id,
  agentName: NAME,
  metadata: metadataOf(order),
  createdAtMs,
  jobs,
});
const aJob = (identity: string, changed: Partial<DispatchJob> = {}): DispatchJob => ({
  identity,
  status: "running",
  error: "",
  ...changed,
});

/** A scripted LiveKit, and a record of what was done to it. */
function scene(dispatches: AgentDispatch[], participants: ParticipantInfo[]) {
  const clock = createSimClock();
  const livekit = {
    dispatches: dispatches as AgentDispatch[] | undefined,
    participants,
    answer: "responds" as "responds" | "silent" | "unknown",
    created: { is: "created", id: "AD_new" } as Created,
    done: [] as string[],
  };
  const provider = livekitDriver({
    clock,
    agentNameOf: () => NAME,
    rooms: {
      participants: async () => [...livekit.participants],
      remove: async (_room, identity) => {
        livekit.done.push(`remove ${identity}`);
        livekit.participants = livekit.participants.filter((each) => each.identity !== identity);
      },
    },
    dispatches: {
      create: async (room, agentName, metadata) => {
        livekit.done.push(`create ${agentName} in ${room} with ${metadata}`);
        return livekit.created;
      },
      list: async () => livekit.dispatches,
      delete: async (_room, id) => {
        livekit.done.push(`delete ${id}`);
        livekit.dispatches = livekit.dispatches?.filter((each) => each.id !== id);
      },
      askClient: async () => livekit.answer,
    },
  });
  return { clock, livekit, provider };
}

test("launches by a dispatch with the session's metadata and its attempt", async () => {
  const { livekit, provider } = scene([], []);
  expect(await provider.launch(anOrder())).toEqual({ is: "launched", externalId: "AD_new" });
  const made = {
    topic: "billing",
    greenroom: { tenant: "t", sessionId: "s", attempt: 1, user: { id: "u", name: "U" }, recovering: false },
  };
  expect(livekit.done).toEqual([`create ${NAME} in ${ROOM} with ${JSON.stringify(made)}`]);
  livekit.created = { is: "refused", reason: "metadata exceeds limits" };
  expect(await provider.launch(anOrder())).toMatchObject({ is: "refused", retryable: false });
});

describe("LiveKit provider, observing agents", () => {
  test("attributes an agent to its dispatch before LiveKit names the job", async () => {
    const { provider } = scene([aDispatch("AD_1", 100, anOrder())], [aUser, anAgent("a", 150)]);
    expect(await provider.observe(aLaunch())).toEqual({
      is: "joined",
      identity: "a",
      users: 1,
      externalId: "AD_1",
    });
  });

  test.each([
    [{}, false],
    [{ "lk.agent.state": "initializing" }, false],
    [{ "lk.agent.state": "" }, false],
    [{ "lk.agent.state": "listening" }, true],
    [{ "lk.agent.state": "speaking" }, true],
    [{ "greenroom.ready": "1" }, true],
    [{ "lk.agent.state": "initializing", "greenroom.ready": "yes" }, true],
  ])("reads attributes %j as ready: %s", (attributes, is) => {
    expect(isReady(attributes)).toBe(is);
  });

  test("evicts a listed agent of an earlier attempt and does not let it serve", async () => {
    const dispatch = aDispatch("AD_2", 100, anOrder(2));
    const { provider, livekit } = scene([dispatch], [anAgent("dead", 50, LISTENING)]);
    expect(await provider.observe(aLaunch({ attempt: 2 }))).toMatchObject({ is: "untaken" });
    expect(livekit.done).toEqual(["remove dead"]);
  });

  test("keeps an agent with a forgotten dispatch if it serves the session, else evicts it", async () => {
    const agents = () => [anAgent("first", 120, LISTENING), anAgent("second", 150, LISTENING)];
    const serving = scene([], agents());
    const known = aLaunch({ state: "ready", identity: "second", externalId: "AD_1" });
    expect(await serving.provider.observe(known)).toMatchObject({ is: "ready", identity: "second" });
    expect(serving.livekit.done).toEqual(["remove first"]);
    const coming = scene([], agents().slice(0, 1));
    expect(await coming.provider.observe(aLaunch())).toMatchObject({ is: "absent" });
    expect(coming.livekit.done).toEqual(["remove first"]);
  });

  test("does not evict an agent of a later attempt", async () => {
    const listed = [aDispatch("AD_1", 100, anOrder(1)), aDispatch("AD_2", 200, anOrder(2))];
    const { provider, livekit } = scene(listed, [anAgent("a", 150), anAgent("b", 250, LISTENING)]);
    await provider.observe(aLaunch({ identity: "a" }));
    expect(livekit.done).toEqual([]);
  });

  test("lets an agent of an earlier attempt serve if it arrives first, and evicts the next", async () => {
    const dispatch = aDispatch("AD_2", 100, anOrder(2), [aJob("second")]);
    const { provider, livekit } = scene([dispatch], [anAgent("late", 150, LISTENING)]);
    const first = await provider.observe(aLaunch({ attempt: 2 }));
    expect(first).toMatchObject({ is: "ready", identity: "late" });
    livekit.participants.push(anAgent("second", 170, LISTENING));
    const second = await provider.observe(aLaunch({ attempt: 2, state: "ready", identity: "late" }));
    expect(second).toMatchObject({ is: "ready", identity: "late" });
    expect(livekit.done).toEqual(["remove second"]);
  });

  test("ignores agents with another name and agents of foreign dispatches", async () => {
    const foreign: AgentDispatch = {
      ...aDispatch("AD_x", 90, anOrder()),
      metadata: "{}",
      jobs: [aJob("theirs")],
    };
    const other = { ...anAgent("other", 160), attributes: { "lk.agent_name": "other-agent" } };
    const agents = [anAgent("theirs", 120, LISTENING), other, anAgent("mine", 170, LISTENING)];
    const { provider, livekit } = scene([foreign, aDispatch("AD_1", 100, anOrder())], agents);
    expect(await provider.observe(aLaunch())).toMatchObject({ is: "ready", identity: "mine" });
    expect(livekit.done).toEqual([]);
  });

  test("does not evict an agent that may belong to a foreign dispatch", async () => {
    const foreign: AgentDispatch = { ...aDispatch("AD_x", 90, anOrder()), metadata: "not ours" };
    const agents = [anAgent("a", 120, LISTENING), anAgent("b", 170, LISTENING)];
    const { provider, livekit } = scene([foreign, aDispatch("AD_1", 100, anOrder())], agents);
    await provider.observe(aLaunch());
    expect(livekit.done).toEqual([]);
  });

  test("reports an orderly end when the agent sets greenroom.ended", async () => {
    const agent = anAgent("a", 150, { ...LISTENING, "greenroom.ended": "everything was said" });
    const { provider } = scene([aDispatch("AD_1", 100, anOrder())], [agent]);
    expect(await provider.observe(aLaunch({ state: "ready", identity: "a" }))).toMatchObject({
      is: "ended",
      reason: "the agent reported that it has finished: everything was said",
      retryable: false,
    });
  });

  test("reports an agent as silent only if it answered before", async () => {
    const ready = aLaunch({ state: "ready", identity: "a" });
    const { provider, livekit } = scene([aDispatch("AD_1", 100, anOrder())], [anAgent("a", 150, LISTENING)]);
    livekit.answer = "silent";
    expect(await provider.observe(ready)).not.toHaveProperty("isSilent");
    livekit.answer = "responds";
    await provider.observe(ready);
    livekit.answer = "unknown";
    expect(await provider.observe(ready)).not.toHaveProperty("isSilent");
    livekit.answer = "silent";
    expect(await provider.observe(ready)).toMatchObject({ is: "ready", isSilent: true });
  });
});

describe("LiveKit provider, looking up a launch", () => {
  const intended = aLaunch({ state: "intended" });

  test("ignores dispatches of other attempts, sessions and tenants", async () => {
    const others = [anOrder(2), anOrder(1, "other"), { ...anOrder(), tenant: "other" }];
    const { provider } = scene(
      others.map((order, index) => aDispatch(`AD_${index}`, 100, order)),
      [],
    );
    expect(await provider.observe(intended)).toEqual({
      is: "absent",
      reason: `LiveKit has no dispatch of ${NAME} to room ${ROOM}`,
    });
  });

  test("finds nothing without a room", async () => {
    const { provider, livekit } = scene([], []);
    livekit.dispatches = undefined;
    expect(await provider.observe(intended)).toEqual({ is: "absent", reason: `LiveKit has no room ${ROOM}` });
  });

  test("keeps the same one of two dispatches, whichever of them is recorded", async () => {
    const twice = [aDispatch("AD_b", 110, anOrder()), aDispatch("AD_a", 100, anOrder())];
    const first = scene([...twice], []);
    expect(await first.provider.observe(intended)).toMatchObject({ is: "untaken", externalId: "AD_a" });
    expect(first.livekit.done).toEqual(["delete AD_b"]);
    const second = scene([...twice], []);
    await second.provider.observe(aLaunch({ externalId: "AD_b" }));
    expect(second.livekit.done).toEqual(["delete AD_a"]);
  });
});

describe("LiveKit provider, observing a dispatch without an agent", () => {
  const observe = (jobs: DispatchJob[], launch = aLaunch()) =>
    scene([aDispatch("AD_1", 100, anOrder(), jobs)], []).provider.observe(launch);

  test("is untaken without a job, and taken with one", async () => {
    expect(await observe([])).toMatchObject({ is: "untaken", externalId: "AD_1" });
    const taken = { is: "launched", isTaken: true, externalId: "AD_1", identity: "a" };
    expect(await observe([aJob("a")])).toEqual(taken);
  });

  test("does not take the job's agent for the one that has served", async () => {
    const ready = aLaunch({ state: "ready", identity: "earlier" });
    expect(await observe([aJob("a")], ready)).toEqual({ is: "launched", externalId: "AD_1" });
  });

  test("is declined when a worker refused for all, unless another worker has a job", async () => {
    const refusal = aJob("", { status: "succeeded" });
    expect(await observe([refusal])).toEqual({ is: "declined", reason: "a worker refused the job" });
    expect(await observe([refusal, aJob("a")])).toMatchObject({ is: "launched", identity: "a" });
    const ready = aLaunch({ state: "ready", identity: "earlier" });
    expect(await observe([refusal], ready)).not.toMatchObject({ is: "declined" });
  });

  test("has ended when its job failed, ended early or is done", async () => {
    expect(await observe([aJob("a", { status: "failed", error: "boom" })])).toMatchObject({
      is: "ended",
      error: "boom",
    });
    const early = await observe([aJob("a", { status: "succeeded" })]);
    expect(early).toMatchObject({ is: "ended", retryable: false, cause: "provider" });
    const done = await observe(
      [aJob("a", { status: "succeeded" })],
      aLaunch({ state: "ready", identity: "a" }),
    );
    expect(done).toMatchObject({ is: "ended", retryable: false });
    expect(done).not.toHaveProperty("error");
  });
});

test("deletes the attempt's dispatches, lets the agent leave, and evicts one that stays", async () => {
  const mine = aDispatch("AD_1", 100, anOrder(), [aJob("a")]);
  const next = aDispatch("AD_2", 200, anOrder(2), [aJob("b")]);
  const { clock, livekit, provider } = scene([mine, next], [aUser, anAgent("a", 150), anAgent("b", 250)]);
  const ending = provider.end(aLaunch({ identity: "a" }), "lost");
  await clock.advance(10);
  expect(livekit.done).toEqual(["delete AD_1"]);
  await clock.advance(2000);
  await ending;
  expect(livekit.done).toEqual(["delete AD_1", "remove a"]);
  expect(livekit.participants.map(({ identity }) => identity)).toEqual(["u", "b"]);
  livekit.dispatches = undefined;
  await provider.end(aLaunch({ identity: "a" }), "again");
});

test("lets the agent of an ended attempt stay that has joined late and serves the next attempt", async () => {
  const mine = aDispatch("AD_1", 100, anOrder(), [aJob("late")]);
  const next = aDispatch("AD_2", 200, anOrder(2), []);
  const { clock, livekit, provider } = scene([mine, next], [aUser, anAgent("late", 250)]);
  const ending = provider.end(aLaunch(), "declined");
  await clock.advance(2000);
  await ending;
  expect(livekit.done).toEqual(["delete AD_1"]);
});

test.each([
  ["responds", "the client has no such method", "RpcError 1400: Method not supported at destination"],
  ["responds", "the client's own code fails", "RpcError 1500: Application error"],
  ["silent", "no response arrives in time", "RpcError 1502: Response timeout"],
  ["silent", "the client can't be reached", "RpcError 1501: Connection timeout"],
  ["unknown", "LiveKit fails", "transport failure"],
  ["unknown", "the client is too old", "RpcError 1404: Unsupported version"],
])("classifies a client as %s when %s", (answer, _when, msg) => {
  expect(clientAnswerOfError(JSON.stringify({ code: "internal", msg }))).toBe(answer);
});
