// The provider `livekit`: workers of LiveKit's agent framework, in Python or Node, through its agent dispatch.
import { type AttemptRef, attemptRefOf, type SessionRef } from "../../../libs/contracts/ids.ts";
import { type LaunchRecord, NO_WORKER } from "../../../libs/contracts/providers/provider.ts";
import type { AgentDispatch, AgentDispatches, DispatchJob } from "../../../libs/livekit/agent-dispatch.ts";
import { isPerson, type ParticipantInfo, type Rooms } from "../../../libs/livekit/rooms.ts";
import { type Clock, sleep } from "../../../libs/runtime/clock.ts";
import type { Launched, LaunchOrder, Observation, Present, ProviderDriver } from "./driver.ts";

export interface LiveKitDriverDeps {
  readonly clock: Clock;
  readonly rooms: Pick<Rooms, "participants" | "remove">;
  readonly dispatches: AgentDispatches;
  /** The name under which workers for a profile have registered. */
  readonly agentNameOf: (profile: string) => string;
}

/** Set by LiveKit's server from the worker's registration. Clients can't set it. */
const AGENT_NAME = "lk.agent_name";
/** Set by LiveKit's AgentSession once it has started. */
const AGENT_STATE = "lk.agent.state";
/** Set through `setAttributes` by an agent without an AgentSession when it is ready, and when it has finished. */
const READY = "greenroom.ready";
const ENDED = "greenroom.ended";
/** Set by an agent whose AgentSession stays open when its user hangs up: `closeOnDisconnect: false`. */
const REJOIN = "greenroom.rejoin";

/** Longer than LiveKit's time-outs of 5 s for each of the calls that a launch and its lookup take. */
const LAUNCH_LIMIT_MS = 15_000;
const ANSWER_MS = 1500;
/** How often, and how many times, to look whether an agent has left after its dispatch was deleted. */
const LEAVING_LOOK_MS = 100;
const LEAVING_LOOKS = 8;

export function livekitDriver(deps: LiveKitDriverDeps): ProviderDriver {
  const { dispatches, rooms, agentNameOf } = deps;
  /** The identities of agents that have answered before: only their silence means anything. */
  const responded = new Set<string>();

  const observe = async (launch: LaunchRecord): Promise<Observation> => {
    const room = launch.room ?? "";
    const { named, users } = agentsOf(await rooms.participants(room), agentNameOf(launch.profile));
    const known = named.find(({ identity }) => identity === launch.identity);
    if (known !== undefined && named.length === 1 && launch.state !== "intended")
      return present(known, users, await isSilent(launch, known));
    const listed = await dispatches.list(room);
    if (listed === undefined) return { is: "absent", reason: `LiveKit has no room ${room}` };
    const dispatch = await keepOne(listed, launch);
    const { agent, surplus } = findServingAgent(launch, dispatch, listed, named);
    for (const { identity } of surplus) await rooms.remove(room, identity);
    if (agent !== undefined) {
      const found = present(agent, users, await isSilent(launch, agent));
      return found.is === "ended" || dispatch === undefined ? found : { ...found, externalId: dispatch.id };
    }
    if (dispatch !== undefined) return notInRoom(launch, dispatch);
    const reason = `LiveKit has no dispatch of ${agentNameOf(launch.profile)} to room ${room}`;
    return { is: "absent", reason };
  };

  /** Deletes all but one dispatch of a launch: a lost answer may leave several. Every instance keeps the same one. */
  const keepOne = async (
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
    // A starting agent is observed several times a second, and its deadlines are short.
    if (launch.state !== "ready") return false;
    const answer = await dispatches.askClient(launch.room ?? "", identity, ANSWER_MS);
    if (answer === "responds") responded.add(identity);
    return answer === "silent" && responded.has(identity);
  };

  /** The agents that have joined since a later attempt was dispatched: they may serve that one. */
  const servesLater = async (launch: LaunchRecord): Promise<ReadonlySet<string>> => {
    const room = launch.room ?? "";
    const later = ((await dispatches.list(room)) ?? []).filter(
      (dispatch) => isOfSession(dispatch, launch) && Number(madeFor(dispatch)?.attempt) > launch.attempt,
    );
    if (later.length === 0) return new Set();
    const sinceMs = Math.min(...later.map(({ createdAtMs }) => createdAtMs));
    const present = await rooms.participants(room);
    return new Set(
      present.filter(({ joinedAtMs = 0 }) => joinedAtMs >= sinceMs).map(({ identity }) => identity),
    );
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
      // The agent may finish its work first; then it is removed.
      await untilGone(deps, room, identities);
      const kept = await servesLater(launch);
      for (const identity of identities) {
        if (kept.has(identity)) continue;
        await rooms.remove(room, identity);
        responded.delete(identity);
      }
    },
  };
}

/** The job's metadata: the session's own, and under `greenroom` the fields by which a lookup finds the dispatch. */
export const metadataOf = (
  order: AttemptRef & Pick<LaunchOrder, "metadata" | "user" | "recovering">,
): string => {
  const { metadata, user, recovering } = order;
  return JSON.stringify({ ...metadata, greenroom: { ...attemptRefOf(order), user, recovering } });
};

/** Whether a dispatch was made for this attempt. */
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
  /** The agents of workers with this name. */
  readonly named: readonly ParticipantInfo[];
  /** The number of humans. */
  readonly users: number;
}

const agentsOf = (participants: readonly ParticipantInfo[], agentName: string): Agents => ({
  named: participants.filter(({ isAgent, attributes }) => isAgent && attributes?.[AGENT_NAME] === agentName),
  users: participants.filter(isPerson).length,
});

interface Chosen {
  readonly agent: ParticipantInfo | undefined;
  /** Further agents of this session, to be removed: a session has one. */
  readonly surplus: readonly ParticipantInfo[];
}

/**
 * The agent that serves: the present one, or the first agent that joined after this attempt was dispatched.
 *
 * The agent may belong to an earlier attempt: a worker keeps a queued job even after its dispatch was deleted. The
 * first agent serves. All others are removed, including those that joined before the dispatch, since a restarted
 * LiveKit forgets the dispatch of an agent that joins late. LiveKit may list the owner of a job seconds after its agent
 * has joined. All times come from the node that has the room.
 */
function findServingAgent(
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
  // While another dispatch has no job listed, one of these agents may belong to it.
  const isSettled = others.every(({ jobs }) => jobs.length > 0);
  // An attempt that was given up removes no agents.
  const isPast = ofSession.some((each) => Number(madeFor(each)?.attempt) > launch.attempt);
  return { agent, surplus: isSettled && !isPast ? own.filter((each) => each !== agent) : [] };
}

function present(agent: ParticipantInfo, users: number, isSilent: boolean): Present | Ended {
  const { attributes = {}, identity } = agent;
  const ended = attributes[ENDED];
  if (ended !== undefined && ended !== "")
    return {
      is: "ended",
      reason: `the agent reported that it has finished: ${ended.slice(0, 200)}`,
      retryable: false,
    };
  const found: Present = {
    is: isReady(attributes) ? "ready" : "joined",
    identity,
    users,
    ...(hasAgentSession(attributes) && !attributes[REJOIN] ? { hasAgentSession: true } : {}),
  };
  return isSilent ? { ...found, isSilent: true } : found;
}

const hasAgentSession = ({ [AGENT_STATE]: state = "" }: Readonly<Record<string, string>>): boolean =>
  state !== "" && state !== "initializing";

/** Presence alone is not readiness: the AgentSession has started, or the agent has reported `greenroom.ready`. */
export function isReady(attributes: Readonly<Record<string, string>>): boolean {
  return hasAgentSession(attributes) || (attributes[READY] !== undefined && attributes[READY] !== "");
}

/** The state of a dispatch whose agent is not in the room. */
function notInRoom(launch: LaunchRecord, { id, jobs }: AgentDispatch): Observation {
  const handle = { externalId: id };
  const job = jobs.at(-1);
  if (job === undefined) return { is: "untaken", reason: NO_WORKER, ...handle };
  const hasJoined = launch.state === "joined" || launch.state === "ready";
  // A worker that refuses with `terminate`, like Python's plain `reject()`, names no agent.
  if (!hasJoined && jobs.every(({ identity, status }) => identity === "" && status === "succeeded"))
    return { is: "declined", reason: "a worker refused the job" };
  const ended = jobs.every(({ status }) => status !== "running") ? endOfJob(job, hasJoined) : undefined;
  if (ended !== undefined) return ended;
  // Another attempt's agent may have served. The job's agent does not replace it in the record: it never did.
  const identity = hasJoined || job.identity === "" ? {} : { identity: job.identity };
  return { is: "launched", ...(hasJoined ? {} : { isTaken: true }), ...handle, ...identity };
}

function endOfJob({ status, error }: DispatchJob, hasJoined: boolean): Observation {
  if (status === "failed")
    return { is: "ended", reason: "the worker's job failed", error: error || "the worker's job failed" };
  if (hasJoined) return { is: "ended", reason: "the worker's job is done", retryable: false };
  const reason = "the worker's job ended before its agent joined";
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
