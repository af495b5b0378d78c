// The provider `livekit`: workers of LiveKit's own agent framework, in Python or Node, by its agent dispatch.
import { type AttemptRef, attemptRefOf, type SessionRef } from "../../../libs/contracts/ids.ts";
import type { LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import type { AgentDispatch, AgentDispatches, DispatchJob } from "../../../libs/livekit/agent-dispatch.ts";
import type { ParticipantInfo, Rooms } from "../../../libs/livekit/rooms.ts";
import { type Clock, sleep } from "../../../libs/runtime/clock.ts";
import type { Launched, LaunchOrder, Observation, Present, ProviderDriver } from "./driver.ts";

export interface LiveKitDriverDeps {
  readonly clock: Clock;
  readonly rooms: Pick<Rooms, "participants" | "remove">;
  readonly dispatches: AgentDispatches;
  /** The name under which workers for a profile have registered. */
  readonly agentNameOf: (profile: string) => string;
}

/** Set by LiveKit's server from the worker's registration; a client can't. */
const AGENT_NAME = "lk.agent_name";
/** Set by LiveKit's AgentSession once it has started. */
const AGENT_STATE = "lk.agent.state";
/** What an agent without an AgentSession sets itself, by `setAttributes`, when it is ready, and when it has finished. */
const READY = "greenroom.ready";
const ENDED = "greenroom.ended";

/** Past LiveKit's own time-outs of 5 s for each of the calls that a launch and its lookup take. */
const LAUNCH_LIMIT_MS = 15_000;
const ANSWER_MS = 1500;
/** How often and how many times it is looked whether an agent that was told to go has gone. */
const LEAVING_LOOK_MS = 100;
const LEAVING_LOOKS = 8;

export function livekitDriver(deps: LiveKitDriverDeps): ProviderDriver {
  const { dispatches, rooms, agentNameOf } = deps;
  /** Agents that answered before, by their identities: only their silence says anything. */
  const responded = new Set<string>();

  const observe = async (launch: LaunchRecord): Promise<Observation> => {
    const room = launch.room ?? "";
    const { named, users } = agentsOf(await rooms.participants(room), agentNameOf(launch.profile));
    const known = named.find(({ identity }) => identity === launch.identity);
    if (known !== undefined && named.length === 1 && launch.state !== "intended")
      return present(known, users, await isSilent(launch, known));
    const listed = await dispatches.list(room);
    if (listed === undefined) return { is: "absent", reason: `LiveKit has no room ${room}` };
    const dispatch = await theOne(listed, launch);
    const { agent, surplus } = chooseAgent(launch, dispatch, listed, named);
    for (const { identity } of surplus) await rooms.remove(room, identity);
    if (agent !== undefined) {
      const found = present(agent, users, await isSilent(launch, agent));
      return found.is === "ended" || dispatch === undefined ? found : { ...found, externalId: dispatch.id };
    }
    if (dispatch !== undefined) return notInRoom(launch, dispatch);
    const reason = `LiveKit has no dispatch of ${agentNameOf(launch.profile)} to room ${room}`;
    return { is: "absent", reason };
  };

  /** Of several with the same launch, as after a lost answer, one stays, and it is the same for everybody. */
  const theOne = async (
    listed: readonly AgentDispatch[],
    launch: LaunchRecord,
  ): Promise<AgentDispatch | undefined> => {
    const mine = listed
      .filter((dispatch) => isOf(dispatch, launch))
      .sort((a, b) => a.createdAtMs - b.createdAtMs || a.id.localeCompare(b.id));
    const kept = mine.find(({ id }) => id === launch.externalId) ?? mine[0];
    for (const { id } of mine) if (id !== kept?.id) await dispatches.delete(launch.room ?? "", id);
    return kept;
  };

  const isSilent = async (launch: LaunchRecord, { identity }: ParticipantInfo): Promise<boolean> => {
    // While it starts it is looked at several times a second, and its deadlines are short.
    if (launch.state !== "ready") return false;
    const answer = await dispatches.askClient(launch.room ?? "", identity, ANSWER_MS);
    if (answer === "responds") responded.add(identity);
    return answer === "silent" && responded.has(identity);
  };

  return {
    name: "livekit",
    launchLimitMs: LAUNCH_LIMIT_MS,
    async launch(order): Promise<Launched> {
      const created = await dispatches.create(order.room, agentNameOf(order.profile), metadataOf(order));
      if (created.is === "refused") return { ...created, retryable: false };
      return { is: "launched", externalId: created.id };
    },
    observe,
    async end(launch): Promise<undefined> {
      const room = launch.room ?? "";
      const mine = (await dispatches.list(room))?.filter((dispatch) => isOf(dispatch, launch));
      if (mine === undefined) return;
      const identities = new Set(
        mine.flatMap(({ jobs }) => jobs.map(({ identity }) => identity)).concat(launch.identity ?? []),
      );
      for (const { id } of mine) await dispatches.delete(room, id);
      // Told to go, it can end in order what it has in hand; then it is put out.
      await untilGone(deps, room, identities);
      for (const identity of identities) {
        await rooms.remove(room, identity);
        responded.delete(identity);
      }
    },
  };
}

/**
 * What the worker gets as its job's metadata: the session's own, as a warm agent would, and under `greenroom` what
 * a lookup finds the dispatch by.
 */
export const metadataOf = (
  order: AttemptRef & Pick<LaunchOrder, "metadata" | "user" | "recovering">,
): string => {
  const { metadata, user, recovering } = order;
  return JSON.stringify({ ...metadata, greenroom: { ...attemptRefOf(order), user, recovering } });
};

/** Whether a dispatch was made for this very attempt. */
const isOf = (dispatch: AgentDispatch, launch: AttemptRef): boolean =>
  isOfSession(dispatch, launch) && madeFor(dispatch)?.attempt === launch.attempt;

const isOfSession = (dispatch: AgentDispatch, launch: SessionRef): boolean => {
  const made = madeFor(dispatch);
  return made?.tenant === launch.tenant && made.sessionId === launch.sessionId;
};

function madeFor({ metadata }: AgentDispatch): Record<string, unknown> | undefined {
  try {
    return (JSON.parse(metadata) as { greenroom?: Record<string, unknown> } | null)?.greenroom;
  } catch {
    return undefined;
  }
}

type Ended = Extract<Observation, { is: "ended" }>;

interface Agents {
  /** Those of the workers with this name. */
  readonly named: readonly ParticipantInfo[];
  /** How many humans there are. */
  readonly users: number;
}

const agentsOf = (participants: readonly ParticipantInfo[], agentName: string): Agents => ({
  named: participants.filter(({ isAgent, attributes }) => isAgent && attributes?.[AGENT_NAME] === agentName),
  users: participants.filter(({ isAgent }) => !isAgent).length,
});

interface Chosen {
  readonly agent: ParticipantInfo | undefined;
  /** Agents of this session too many, to be put out: a session has one. */
  readonly surplus: readonly ParticipantInfo[];
}

/**
 * The agent that serves: the one that does already, else the first that came after this attempt was dispatched.
 *
 * That may be one that an earlier attempt asked for: a worker starts its jobs one after the other, and doesn't drop
 * one that was taken back while it waited its turn. The first to come serves, and the others are put out, also those
 * that came before: a LiveKit that was restarted has forgotten the dispatch of an agent that comes all the same. Whose
 * a job is, LiveKit may tell only seconds after its agent has come; all times are of the node that has the room.
 */
function chooseAgent(
  launch: AttemptRef & Pick<LaunchRecord, "identity">,
  dispatch: AgentDispatch | undefined,
  listed: readonly AgentDispatch[],
  named: readonly ParticipantInfo[],
): Chosen {
  const ofSession = listed.filter((each) => isOfSession(each, launch));
  const agentName = named[0]?.attributes?.[AGENT_NAME];
  const others = listed.filter((each) => each.agentName === agentName && !ofSession.includes(each));
  const theirs = new Set(others.flatMap(({ jobs }) => jobs.map(({ identity }) => identity)));
  const own = named
    .filter(({ identity }) => !theirs.has(identity))
    .sort((a, b) => (a.joinedAtMs ?? 0) - (b.joinedAtMs ?? 0) || a.identity.localeCompare(b.identity));
  const agent =
    named.find(({ identity }) => identity === launch.identity) ??
    own.find(({ joinedAtMs = 0 }) => dispatch !== undefined && joinedAtMs >= dispatch.createdAtMs);
  // While somebody else's dispatch has no job listed, one of these may be its.
  const isSettled = others.every(({ jobs }) => jobs.length > 0);
  // Who looks for an attempt that has been given up has nobody to put out.
  const isPast = ofSession.some((each) => Number(madeFor(each)?.attempt) > launch.attempt);
  return { agent, surplus: isSettled && !isPast ? own.filter((each) => each !== agent) : [] };
}

function present(agent: ParticipantInfo, users: number, isSilent: boolean): Present | Ended {
  const { attributes = {}, identity } = agent;
  const ended = attributes[ENDED];
  if (ended !== undefined && ended !== "")
    return {
      is: "ended",
      reason: `the agent says that it has finished: ${ended.slice(0, 200)}`,
      retryable: false,
    };
  const found: Present = { is: isReady(attributes) ? "ready" : "joined", identity, users };
  return isSilent ? { ...found, isSilent: true } : found;
}

/** Never by its presence: the AgentSession has started, or the agent says so itself. */
export function isReady(attributes: Readonly<Record<string, string>>): boolean {
  const state = attributes[AGENT_STATE];
  const hasStarted = state !== undefined && state !== "" && state !== "initializing";
  return hasStarted || (attributes[READY] !== undefined && attributes[READY] !== "");
}

/** A dispatch whose agent isn't in the room: it is on its way, nobody took it, or its job is over. */
function notInRoom(launch: LaunchRecord, { id, jobs }: AgentDispatch): Observation {
  const handle = { externalId: id };
  const job = jobs.at(-1);
  if (job === undefined)
    return { is: "untaken", reason: "no worker of LiveKit's took the dispatch", ...handle };
  const hasJoined = launch.state === "joined" || launch.state === "ready";
  const over = jobs.every(({ status }) => status !== "running") ? overBy(job, hasJoined) : undefined;
  return over ?? { is: "launched", ...handle, ...(job.identity === "" ? {} : { identity: job.identity }) };
}

function overBy({ status, error }: DispatchJob, hasJoined: boolean): Observation {
  if (status === "failed")
    return { is: "ended", reason: "the worker's job failed", error: error || "the worker's job failed" };
  if (hasJoined) return { is: "ended", reason: "the worker's job is done", retryable: false };
  const reason = "a worker refused the job and said that nobody else is to be asked";
  return { is: "ended", reason, error: reason, retryable: false, cause: "provider" };
}

async function untilGone(
  { clock, rooms }: Pick<LiveKitDriverDeps, "clock" | "rooms">,
  room: string,
  identities: ReadonlySet<string>,
): Promise<void> {
  for (let look = 0; look < LEAVING_LOOKS; look++) {
    const inside = await rooms.participants(room);
    if (!inside.some(({ identity }) => identities.has(identity))) return;
    await sleep(clock, LEAVING_LOOK_MS);
  }
}
