// Ends of a job: the same agent file under LiveKit's own worker and under Greenroom, case by case.
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { AgentDispatchClient, RoomServiceClient } from "livekit-server-sdk";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { roomEvents } from "../../../libs/contracts/streams.ts";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { LiveKitWorker } from "../../kit/servers/livekit-workers.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import { type Visitor, visit } from "../../kit/stack/visitor.ts";
import { until } from "../../kit/until.ts";

const AGENT = join(import.meta.dirname, "../../agents/closing.ts");
/** The departure timeout of the rooms of LiveKit's worker, whose default is 20 s. */
const DEPARTURE_S = 8;
/** The longest time until an outcome is seen, and the time that it has to last. */
const SEEN_MS = 60_000;
const LASTS_MS = 2500;
/** The gateway lists the people of a room right after it has published an event of that room. */
const HANDLED_MS = 1000;

/** The view that people in the room, the agent file and the API have of an end. A case names the parts that matter. */
interface Seen {
  readonly agent?: "in" | "out" | "another";
  readonly ada?: "in" | "out";
  readonly ben?: "in" | "out";
  readonly room?: "there" | "gone";
  /** The events of the file, in order. */
  readonly file?: readonly string[];
  /** The reason for which LiveKit has disconnected the agent. */
  readonly disconnect?: string;
  /** Whether the agent is still in its room when the file's onSessionEnd runs. */
  readonly endsInRoom?: boolean;
  /** The end of a listener that goes on after its AgentSession has closed. */
  readonly work?: "done";
  /** The reason for which Greenroom's session has ended. */
  readonly session?: string;
}

interface Played {
  readonly room: string;
  readonly agent: string;
  /** The linked participant of the AgentSession. */
  readonly ada: Visitor;
  readonly ben: Visitor;
  readonly comeBack: () => Promise<void>;
}

interface Case {
  readonly metadata?: object;
  /** Whether Ben is in the room, too. */
  readonly company?: true;
  readonly act: (played: Played) => Promise<unknown>;
  readonly livekit: Seen;
  /** The intended differences under Greenroom, and the reason of Greenroom's session. */
  readonly greenroom: Seen & { readonly because?: string };
}

const asks = (what: string) => (played: Played) => played.ada.call(played.agent, "act", what);
const GOES_ON = "goes on";
const closes = (reason: string) => ["started", `close: ${reason}`, "onSessionEnd", "shutdown callback"];
const LEAVES_AFTER_CLOSE = {
  session: "the agent closed its AgentSession (user_initiated)",
  agent: "out",
  file: closes("user_initiated"),
  because: "Nobody speaks to the user any more, unless the file starts another AgentSession at once.",
} as const;
const CONTINUES_IN_ROOM = {
  session: GOES_ON,
  agent: "another",
  ada: "in",
  ben: "in",
  room: "there",
  because: "Another agent continues after an error, in the same room.",
} as const;
const STAYS: Seen = { agent: "in", room: "there", file: ["started"] };

const cases: Record<string, Case> = {
  "user hangs up": {
    metadata: { worksAfterClose: true },
    act: ({ ada }) => ada.leave(),
    livekit: {
      agent: "out",
      room: "gone",
      file: closes("participant_disconnected"),
      disconnect: "ROOM_CLOSED",
      work: "done",
    },
    greenroom: {
      session: "user left",
      disconnect: "CLIENT_INITIATED",
      endsInRoom: true,
      because: "The agent of a closed AgentSession hears nobody, so it leaves before the departure timeout.",
    },
  },
  "user hangs up (closeOnDisconnect: false)": {
    metadata: { input: { closeOnDisconnect: false } },
    act: ({ ada }) => ada.leave(),
    livekit: { agent: "out", room: "gone", file: closes("user_initiated"), disconnect: "ROOM_CLOSED" },
    greenroom: {
      session: "user left",
      disconnect: "CLIENT_INITIATED",
      because: "GREENROOM_USER_REJOIN_GRACE_MS takes the place of the room's departure timeout.",
    },
  },
  "user hangs up and returns (closeOnDisconnect: false)": {
    metadata: { input: { closeOnDisconnect: false } },
    act: async ({ ada, comeBack }) => {
      await ada.leave();
      await comeBack();
    },
    livekit: { ...STAYS, ada: "in" },
    greenroom: { session: GOES_ON },
  },
  "user leaves at once, before the agent has seen anybody": {
    act: ({ ada }) => ada.leave(),
    livekit: { agent: "out", room: "gone" },
    greenroom: { session: "user left" },
  },
  "linked participant hangs up, and another person stays": {
    company: true,
    act: ({ ada }) => ada.leave(),
    livekit: { agent: "in", ben: "in", room: "there", file: ["started", "close: participant_disconnected"] },
    greenroom: {
      session: "user left",
      agent: "out",
      file: closes("participant_disconnected"),
      because: "The agent of a closed AgentSession hears nobody.",
    },
  },
  "linked participant hangs up, and another person stays (closeOnDisconnect: false)": {
    metadata: { input: { closeOnDisconnect: false } },
    company: true,
    act: ({ ada }) => ada.leave(),
    livekit: { ...STAYS, ben: "in" },
    greenroom: { session: GOES_ON },
  },
  "other person leaves": {
    company: true,
    act: ({ ben }) => ben.leave(),
    livekit: { ...STAYS, ada: "in" },
    greenroom: { session: GOES_ON },
  },
  "file calls ctx.shutdown()": {
    company: true,
    act: asks("ctx.shutdown"),
    livekit: {
      ...{ agent: "out", ada: "in", ben: "in", room: "there" },
      file: closes("user_initiated"),
      disconnect: "CLIENT_INITIATED",
      endsInRoom: true,
    },
    greenroom: { session: "everything was said" },
  },
  "file calls ctx.deleteRoom()": {
    company: true,
    act: asks("ctx.deleteRoom"),
    livekit: {
      ...{ agent: "out", ada: "out", ben: "out", room: "gone" },
      file: closes("user_initiated"),
      disconnect: "ROOM_DELETED",
    },
    greenroom: { session: "the room was closed" },
  },
  "file closes its AgentSession": {
    act: asks("session.close"),
    livekit: { agent: "in", ada: "in", file: ["started", "close: user_initiated"] },
    greenroom: LEAVES_AFTER_CLOSE,
  },
  "file shuts its AgentSession down": {
    act: asks("session.shutdown"),
    livekit: { agent: "in", ada: "in", file: ["started", "close: user_initiated"] },
    greenroom: LEAVES_AFTER_CLOSE,
  },
  "linked participant hangs up (deleteRoomOnClose: true)": {
    metadata: { input: { deleteRoomOnClose: true } },
    company: true,
    act: ({ ada }) => ada.leave(),
    livekit: {
      ...{ agent: "out", ben: "out", room: "gone" },
      file: closes("participant_disconnected"),
    },
    greenroom: { session: "user left" },
  },
  "room is deleted by LiveKit's API": {
    company: true,
    act: ({ room }) => scene.rooms.delete(room),
    livekit: {
      ...{ agent: "out", ada: "out", ben: "out", room: "gone" },
      file: closes("user_initiated"),
      disconnect: "ROOM_DELETED",
    },
    greenroom: { session: "the room was closed" },
  },
  "agent is removed by LiveKit's API": {
    company: true,
    act: ({ room, agent }) => scene.rooms.remove(room, agent),
    livekit: {
      ...{ agent: "out", ada: "in", ben: "in", room: "there" },
      file: closes("user_initiated"),
      disconnect: "PARTICIPANT_REMOVED",
    },
    greenroom: {
      session: GOES_ON,
      agent: "another",
      because: "An agent that is removed is a lost agent, so another one continues.",
    },
  },
  "entry throws": {
    metadata: { waits: true },
    company: true,
    act: asks("throw"),
    livekit: { agent: "out", ada: "in", ben: "in", room: "there", file: closes("user_initiated") },
    greenroom: { session: GOES_ON, agent: "another", because: "Another agent continues after an error." },
  },
  "entry throws (deleteRoomOnClose: true)": {
    metadata: { waits: true, input: { deleteRoomOnClose: true } },
    company: true,
    act: asks("throw"),
    livekit: { agent: "out", ada: "out", ben: "out", room: "gone", file: closes("user_initiated") },
    greenroom: CONTINUES_IN_ROOM,
  },
  "model provider keeps failing (deleteRoomOnClose: true)": {
    metadata: { input: { deleteRoomOnClose: true } },
    company: true,
    act: asks("provider error"),
    livekit: { agent: "out", ada: "out", ben: "out", room: "gone", file: closes("error") },
    greenroom: CONTINUES_IN_ROOM,
  },
  "entry returns": {
    metadata: { waits: true },
    act: asks("return"),
    livekit: { ...STAYS, ada: "in", file: ["started", "entry returns"] },
    greenroom: { session: GOES_ON },
  },
};
const LEAVES_UNSEEN = "user leaves at once, before the agent has seen anybody";

let scene: Scene;
let worker: LiveKitWorker;
/** The rooms and identities of people whose join LiveKit has reported to the gateway. */
const joined = new Set<string>();

beforeAll(async () => {
  scene = await openScene({ agents: ["closing"], env: { GREENROOM_USER_REJOIN_GRACE_MS: "4000" } });
  await scene.bus.core.subscribe(roomEvents, ({ event, identity, room }) => {
    if (event === "participant_joined") joined.add(`${room} ${identity}`);
  });
  const { livekit } = scene.stack;
  if (livekit === undefined) throw new Error("This stack has no LiveKit");
  worker = await LiveKitWorker.start(livekit, AGENT, "closing");
  await scene.pool("closing", { idle: 4 });
});
afterEach(() => expectNothingLeft(scene));
afterAll(async () => {
  await worker?.kill9();
  await scene?.stop();
});

/** A line that the agent file logs. */
interface Line extends Pick<Seen, "disconnect" | "endsInRoom" | "work"> {
  readonly job: string;
  readonly room: string;
  readonly event?: string;
}

/** A room with an agent whose AgentSession has started. */
interface Place {
  readonly room: string;
  enter(): Promise<Visitor>;
  lines(): Promise<Line[]>;
  /** The reason for which the session has ended. */
  session(): Promise<string | undefined>;
}

const linesIn = (texts: readonly string[]): Line[] =>
  texts
    .filter((text) => text.startsWith("closing {"))
    .map((text) => JSON.parse(text.slice("closing ".length)));

async function underLiveKit(room: string, metadata: object): Promise<Place> {
  const { livekit } = scene.stack;
  const api = [livekit?.url.replace(/^ws/, "http") ?? "", livekit?.apiKey, livekit?.apiSecret] as const;
  const options = { name: room, emptyTimeout: 300, departureTimeout: DEPARTURE_S };
  await new RoomServiceClient(...api).createRoom(options);
  await new AgentDispatchClient(...api).createDispatch(room, "closing", {
    metadata: JSON.stringify(metadata),
  });
  const lines = async () => linesIn(worker.text().split("\n")).filter((line) => line.room === room);
  await until(async () => (await lines()).some(({ event }) => event === "started"), {
    timeoutMs: PATIENCE_MS,
    what: () => `the worker's job starts; its output:\n${worker.text()}`,
  });
  const enter = async () => visit(await scene.tokenFor({ room, identity: "ada" }));
  return { room, lines, enter, session: async () => undefined };
}

async function underGreenroom(metadata: object): Promise<Place> {
  const answer = await scene.start({ profile: "closing", userId: "ada", metadata });
  const { room, sessionId } = answer;
  return {
    room,
    lines: async () => linesIn((await scene.logs(sessionId)).map(({ message }) => message)),
    enter: () => visit(answer),
    session: async () => {
      const { state, history } = await scene.session(sessionId);
      return state === "ended" ? history.at(-1).reason : GOES_ON;
    },
  };
}

/** Waits until a visitor sees the agent, and hears it, which makes the first one the linked participant. */
async function agentSeenBy(visitor: Visitor): Promise<string> {
  const agent = () => visitor.others().find(({ identity }) => identity.startsWith("agent-"))?.identity;
  return await until(() => visitor.hears() && agent(), {
    timeoutMs: PATIENCE_MS,
    what: "the visitor hears the agent",
  });
}

async function lookAt({ room, ...job }: Place, agent: string, ada: Visitor, ben: Visitor): Promise<Seen> {
  const [present, rooms, lines, session] = await Promise.all([
    scene.rooms.participants(room),
    scene.rooms.list(),
    job.lines(),
    job.session(),
  ]);
  const agents = present.filter(({ isAgent }) => isAgent).map(({ identity }) => identity);
  const ofFirst = lines.filter(({ job }) => job === lines[0]?.job);
  return {
    ...Object.assign({}, ...ofFirst),
    agent: agents.length === 0 ? "out" : agents.includes(agent) ? "in" : "another",
    ada: ada.isOut() ? "out" : "in",
    ben: ben.isOut() ? "out" : "in",
    room: rooms.some(({ name }) => name === room) ? "there" : "gone",
    file: ofFirst.flatMap(({ event }) => event ?? []),
    session,
  };
}

/** Plays a case, waits until the expected is seen, and returns what is seen a while later. */
async function play(name: string, { act, company }: Case, job: Place, expected: Seen): Promise<Seen> {
  let ada = await job.enter();
  const agent = name === LEAVES_UNSEEN ? "" : await agentSeenBy(ada);
  const ben = company ? await visit(await scene.tokenFor({ room: job.room, identity: "ben" })) : ada;
  if (company) {
    await agentSeenBy(ben);
    // A person whose webhook comes after the end of the session gets another session.
    await until(() => joined.has(`${job.room} ben`), {
      timeoutMs: PATIENCE_MS,
      what: "LiveKit's webhook reports the second person",
    });
    await new Promise((resolve) => setTimeout(resolve, HANDLED_MS));
  }
  const comeBack = async () => {
    ada = await job.enter();
  };
  const look = async () => {
    const seen = Object.entries(await lookAt(job, agent, ada, ben));
    return Object.fromEntries(seen.filter(([what]) => what in expected));
  };
  try {
    await act({ room: job.room, agent, ada, ben, comeBack });
    const limit = performance.now() + SEEN_MS;
    while (!isDeepStrictEqual(await look(), expected) && performance.now() < limit)
      await new Promise((resolve) => setTimeout(resolve, 200));
    await new Promise((resolve) => setTimeout(resolve, LASTS_MS));
    return await look();
  } finally {
    await Promise.all([ada.leave(), ben.leave()]);
  }
}

describe("a job", () => {
  test.each(Object.keys(cases))(
    "ends as under LiveKit's worker, or differs for a reason, when the %s",
    async (name) => {
      const one = cases[name] as Case;
      const { livekit, metadata = {} } = one;
      const { because, ...differs } = one.greenroom;
      const ours: Seen = { ...livekit, ...differs };
      const isSame = Object.keys(differs).every((what) => what === "session" || what === "endsInRoom");
      expect(because !== undefined, "a difference has a reason").toBe(!isSame);
      const room = `${name} (LiveKit)`;
      const [there, here] = await Promise.all([
        underLiveKit(room, metadata).then((place) => play(name, one, place, livekit)),
        underGreenroom(metadata).then((place) => play(name, one, place, ours)),
      ]);
      await scene.rooms.delete(room);
      expect(there, "under LiveKit's worker").toEqual(livekit);
      expect(here, "under Greenroom").toEqual(ours);
    },
  );
});
