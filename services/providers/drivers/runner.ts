// The provider `webhook`: an agent runner elsewhere is asked by HTTP, and claims what it was asked for.

import { sessions } from "../../../libs/contracts/buckets.ts";
import type { ClaimRecord } from "../../../libs/contracts/claims/claim.ts";
import { claimIdOf, originOf } from "../../../libs/contracts/claims/claim.ts";
import { type AttemptRef, agentIdentityOf, attemptKey, sessionKey } from "../../../libs/contracts/ids.ts";
import { type LaunchRecord, providerHostOf } from "../../../libs/contracts/providers/provider.ts";
import type { AskClient } from "../../../libs/livekit/ask-agent.ts";
import type { LiveKit } from "../../../libs/livekit/rooms.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import { type OfferDeps, offerClaim, readClaim, withdrawClaim } from "../claims/claim-offers.ts";
import type { Launched, LaunchHandle, LaunchOrder, Observation, ProviderDriver } from "./driver.ts";
import { type LaunchReply, requestLaunch } from "./runner-request.ts";
import { type UnresponsiveAgents, watchUnresponsiveAgents } from "./unresponsive-agents.ts";

export interface Runner {
  /** The whole address that is asked. */
  readonly url: string;
  /** What it calls the agent. */
  readonly agent: string;
}

export interface RunnerDeps extends OfferDeps {
  readonly log: Log;
  readonly livekit: LiveKit | undefined;
  /** Who runs a profile; undefined: nobody, as the settings are. */
  readonly runnerOf: (profile: string) => Runner | undefined;
  readonly secrets: readonly string[];
  readonly claimMs: number;
  /** Under which a runner finds the claim's route, when it isn't to know that itself. */
  readonly claimUrlOf: (claimId: string) => string | undefined;
  /** Asks a participant's client for a sign of life. */
  readonly askClient: AskClient;
  readonly ask?: typeof fetch;
}

/** One try; a runner answers when it has taken the job, not when its agent runs. */
const TRY_MS = 5000;
/** For so long a runner that can't is asked again; then the attempt has failed, and the next may find it well. */
const RETRY_FOR_MS = 12_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4000;

/**
 * What makes it safe: the runner gets no token but the right to claim one, and only one can claim. So a request whose
 * answer was lost can be sent again, and when it is given up the offer is withdrawn: then nothing can come of it,
 * whoever has read the request by then.
 */
export function runnerDriver(deps: RunnerDeps): ProviderDriver {
  const silence = watchUnresponsiveAgents(deps.clock, deps.askClient);
  const stopping = new AbortController();
  return {
    name: "webhook",
    launchLimitMs: RETRY_FOR_MS + TRY_MS,
    launch: (order) => launch(deps, order, stopping.signal),
    observe: (launched) => observe(deps, silence, launched),
    async end(launched, reason): Promise<undefined> {
      await withdrawClaim(deps, launched, reason);
      silence.forget(agentIdentityOf(launched));
    },
    stop: () => stopping.abort(),
  };
}

async function launch(deps: RunnerDeps, order: LaunchOrder, stopping: AbortSignal): Promise<Launched> {
  const runner = deps.runnerOf(order.profile);
  if (runner === undefined) {
    const reason = `Nobody runs "${order.profile}": set AGENT_LAUNCHER_URL, or its own address in GREENROOM_PROVIDERS.`;
    return { is: "refused", reason, retryable: false };
  }
  const dispatch = await offerClaim(deps, { ...order, claimMs: deps.claimMs });
  const before = settledBy(dispatch);
  if (before !== undefined) return before;
  const startedAtMs = deps.clock.monotonic();
  for (let tries = 1; ; tries++) {
    const reply = await request(deps, runner, order, dispatch, stopping);
    if (reply.is === "taken") return launchedAs(dispatch);
    if (reply.is === "failed" && stopping.aborted) return { is: "left" };
    const { sessionId, attempt } = order;
    const fields = { sessionId, attempt, tries, reason: reply.reason };
    if (reply.is === "refused") {
      deps.log.warn(fields, "an agent runner refuses a launch");
      return giveUp(deps, order, reply.reason, false);
    }
    const spentMs = deps.clock.monotonic() - startedAtMs;
    const pauseMs = pauseAfter(tries, reply);
    if (spentMs + pauseMs > RETRY_FOR_MS) {
      deps.log.warn(fields, "an agent runner took no launch; the attempt is given up");
      return giveUp(deps, order, reply.reason, true);
    }
    deps.log.info({ ...fields, pauseMs }, "an agent runner could not take a launch; it is asked again");
    await sleepUnless(deps.clock, pauseMs, stopping);
    if (stopping.aborted) return { is: "left" };
    const standing = await readClaim(deps.bus, order);
    const meanwhile = standing === undefined ? undefined : settledBy(standing.value);
    if (meanwhile !== undefined) return meanwhile;
    if (!(await isWanted(deps, order))) return giveUp(deps, order, "the session goes on elsewhere", false);
  }
}

/** What a dispatch that isn't offered (any more) says of its launch, whatever became of the request. */
function settledBy(dispatch: ClaimRecord): Launched | undefined {
  // The answer was lost and the request was not: it has claimed already.
  if (dispatch.claimedBy !== undefined) return launchedAs(dispatch);
  if (dispatch.state !== "expired") return undefined;
  return { is: "refused", reason: dispatch.reason ?? "its dispatch has expired", retryable: true };
}

const request = (
  deps: RunnerDeps,
  runner: Runner,
  order: LaunchOrder,
  dispatch: ClaimRecord,
  stopping: AbortSignal,
): Promise<LaunchReply> => {
  const { tenant, sessionId, attempt, room, metadata, recovering } = order;
  const origin = originOf(sessionId, metadata);
  const claimUrl = deps.claimUrlOf(dispatch.claimId);
  return requestLaunch(
    {
      url: runner.url,
      id: attemptKey(order),
      secrets: deps.secrets,
      now: new Date(deps.clock.now()),
      timeoutMs: TRY_MS,
      signal: stopping,
      body: {
        type: "agent_session.launch",
        version: 1,
        trace_id: dispatch.traceId,
        tenant_id: tenant,
        agent_id: runner.agent,
        session_id: sessionId,
        attempt,
        room,
        ...(origin?.call_id === undefined ? {} : { call_id: origin.call_id }),
        dispatch_id: dispatch.claimId,
        dispatch_expires_at: dispatch.expiresAt,
        ...(claimUrl === undefined ? {} : { claim_url: claimUrl }),
        recovering,
        metadata,
      },
    },
    deps.ask,
  );
};

/** With the offer withdrawn nothing can come of it any more; but a claim may have been faster. */
async function giveUp(
  deps: RunnerDeps,
  order: LaunchOrder,
  reason: string,
  retryable: boolean,
): Promise<Launched> {
  const dispatch = await withdrawClaim(deps, order, reason);
  if (dispatch?.claimedBy !== undefined) return launchedAs(dispatch);
  return { is: "refused", reason, retryable };
}

/** Resolves after `ms`, or at once when the service stops. */
function sleepUnless(clock: Clock, ms: number, stopping: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (stopping.aborted) return resolve();
    const wake = () => {
      cancel();
      stopping.removeEventListener("abort", wake);
      resolve();
    };
    const cancel = clock.after(ms, wake);
    stopping.addEventListener("abort", wake, { once: true });
  });
}

const pauseAfter = (tries: number, { retryAfterMs = 0 }: { readonly retryAfterMs?: number }): number =>
  Math.max(retryAfterMs, Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(10, tries - 1)));

/** Whether the session still waits for this very attempt. */
async function isWanted({ bus }: RunnerDeps, ref: AttemptRef): Promise<boolean> {
  const record = (await bus.kv.get(sessions, sessionKey(ref)))?.value;
  return (
    record?.state === "dispatched" &&
    record.attempt === ref.attempt &&
    record.host === providerHostOf("webhook")
  );
}

const launchedAs = (dispatch: ClaimRecord): { is: "launched" } & LaunchHandle => ({
  is: "launched",
  ...handleOf(dispatch),
});

const handleOf = ({ claimId: id, identity }: ClaimRecord): LaunchHandle => ({ externalId: id, identity });

/** By the dispatch and by who is in the room. That it is ready is the runner's own word, which the gateway takes. */
async function observe(
  deps: RunnerDeps,
  silence: UnresponsiveAgents,
  launch: LaunchRecord,
): Promise<Observation> {
  const dispatch = (await readClaim(deps.bus, launch))?.value;
  if (dispatch === undefined || dispatch.state === "offered") {
    // It may have been asked or not; asked again, the runner knows it by its id, and one claim counts.
    if (launch.state === "intended") return { is: "absent", reason: "nobody has claimed it" };
    if (dispatch !== undefined) return { is: "launched", ...handleOf(dispatch) };
  }
  if (dispatch?.state === "expired") {
    const reason = `the agent runner took the job and didn't claim it: ${dispatch.reason ?? "it has expired"}`;
    return { is: "ended", reason, error: reason, retryable: true, cause: "provider" };
  }
  return inRoom(deps, silence, launch);
}

async function inRoom(
  { livekit }: RunnerDeps,
  silence: UnresponsiveAgents,
  launch: LaunchRecord,
): Promise<Observation> {
  const { room } = launch;
  const identity = agentIdentityOf(launch);
  const handle = { externalId: claimIdOf(launch), identity };
  // Nobody can be in a simulated room: then the claim stands for it.
  if (livekit === undefined || livekit.isSimulated || room === undefined) return { is: "joined", ...handle };
  const present = await livekit.rooms.participants(room);
  const users = present.filter((participant) => !participant.isAgent).length;
  if (!present.some((participant) => participant.identity === identity))
    return { is: "launched", ...handle, users };
  const isSilent = await silence.of(room, identity);
  return { is: "joined", ...handle, users, ...(isSilent ? { isSilent } : {}) };
}
