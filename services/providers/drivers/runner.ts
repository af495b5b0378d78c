// The provider `webhook`: requests agents from a remote agent runner over HTTP; the runner claims the session.
import { sessions } from "../../../libs/contracts/buckets.ts";
import type { ClaimRecord } from "../../../libs/contracts/claims/claim.ts";
import { claimIdOf, originOf } from "../../../libs/contracts/claims/claim.ts";
import { type AttemptRef, agentIdentityOf, attemptKey, sessionKey } from "../../../libs/contracts/ids.ts";
import { type LaunchRecord, providerHostOf } from "../../../libs/contracts/providers/provider.ts";
import type { AskClient } from "../../../libs/livekit/ask-agent.ts";
import { isPerson, type LiveKit } from "../../../libs/livekit/rooms.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import { type OfferDeps, offerClaim, readClaim, withdrawClaim } from "../claims/claim-offers.ts";
import type { Launched, LaunchHandle, LaunchOrder, Observation, ProviderDriver } from "./driver.ts";
import { type LaunchReply, requestLaunch } from "./runner-request.ts";
import { type UnresponsiveAgents, watchUnresponsiveAgents } from "./unresponsive-agents.ts";

export interface Runner {
  /** The full address of launch requests. */
  readonly url: string;
  /** The runner's name for the agent. */
  readonly agent: string;
}

export interface RunnerDeps extends OfferDeps {
  readonly log: Log;
  readonly livekit: LiveKit | undefined;
  /** The runner of a profile; undefined when none is configured. */
  readonly runnerOf: (profile: string) => Runner | undefined;
  readonly secrets: readonly string[];
  readonly claimMs: number;
  /** The address of a claim, where requests contain it. */
  readonly claimUrlOf: (claimId: string) => string | undefined;
  /** Pings a participant's client. */
  readonly askClient: AskClient;
  readonly ask?: typeof fetch;
}

/** The time-out of one request. A runner answers when it has accepted the job, not when its agent runs. */
const TRY_MS = 5000;
/** How long a failed request is retried. Then the attempt fails, and the runner may have recovered for the next one. */
const RETRY_FOR_MS = 12_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4000;

/**
 * The runner gets no token but a claim ticket, which can be claimed once. A request whose answer was lost can therefore
 * be repeated. Giving up withdraws the offer, after which the request is worthless.
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
    const reason = `No agent runner is configured for "${order.profile}": set AGENT_LAUNCHER_URL, or an address in GREENROOM_PROVIDERS.`;
    return { is: "refused", reason, retryable: false };
  }
  const claim = await offerClaim(deps, { ...order, claimMs: deps.claimMs });
  const before = resultOf(claim);
  if (before !== undefined) return before;
  const startedAtMs = deps.clock.monotonic();
  for (let tries = 1; ; tries++) {
    const reply = await request(deps, runner, order, claim, stopping);
    if (reply.is === "taken") return launchedAs(claim);
    if (reply.is === "failed" && stopping.aborted) return { is: "left" };
    const { sessionId, attempt } = order;
    const fields = { sessionId, attempt, tries, reason: reply.reason };
    if (reply.is === "refused") {
      deps.log.warn(fields, "an agent runner refused a launch");
      return giveUp(deps, order, reply.reason, false);
    }
    const spentMs = deps.clock.monotonic() - startedAtMs;
    const pauseMs = pauseAfter(tries, reply);
    if (spentMs + pauseMs > RETRY_FOR_MS) {
      deps.log.warn(fields, "an agent runner accepted no launch; giving up the attempt");
      return giveUp(deps, order, reply.reason, true);
    }
    deps.log.info({ ...fields, pauseMs, retrying: true }, "an agent runner did not accept a launch");
    await sleepUnless(deps.clock, pauseMs, stopping);
    if (stopping.aborted) return { is: "left" };
    const stored = await readClaim(deps.bus, order);
    const known = stored === undefined ? undefined : resultOf(stored.value);
    if (known !== undefined) return known;
    if (!(await isWanted(deps, order))) return giveUp(deps, order, "the session has moved on", false);
  }
}

/** The result of a launch whose claim is no longer offered, even if the answer to the request was lost. */
function resultOf(claim: ClaimRecord): Launched | undefined {
  // The runner has received the request and claimed already.
  if (claim.claimedBy !== undefined) return launchedAs(claim);
  if (claim.state !== "expired") return undefined;
  return { is: "refused", reason: claim.reason ?? "the claim has expired", retryable: true };
}

const request = (
  deps: RunnerDeps,
  runner: Runner,
  order: LaunchOrder,
  claim: ClaimRecord,
  stopping: AbortSignal,
): Promise<LaunchReply> => {
  const { tenant, sessionId, attempt, room, metadata, recovering } = order;
  const origin = originOf(sessionId, metadata);
  const claimUrl = deps.claimUrlOf(claim.claimId);
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
        trace_id: claim.traceId,
        tenant_id: tenant,
        agent_id: runner.agent,
        session_id: sessionId,
        attempt,
        room,
        ...(origin?.call_id === undefined ? {} : { call_id: origin.call_id }),
        dispatch_id: claim.claimId,
        dispatch_expires_at: claim.expiresAt,
        ...(claimUrl === undefined ? {} : { claim_url: claimUrl }),
        recovering,
        metadata,
      },
    },
    deps.ask,
  );
};

/** Withdraws the offer, unless a claim was faster. */
async function giveUp(
  deps: RunnerDeps,
  order: LaunchOrder,
  reason: string,
  retryable: boolean,
): Promise<Launched> {
  const claim = await withdrawClaim(deps, order, reason);
  if (claim?.claimedBy !== undefined) return launchedAs(claim);
  return { is: "refused", reason, retryable };
}

/** Returns after `ms`, or at once when the service stops. */
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

/** Whether the session still waits for this attempt. */
async function isWanted({ bus }: RunnerDeps, ref: AttemptRef): Promise<boolean> {
  const record = (await bus.kv.get(sessions, sessionKey(ref)))?.value;
  return (
    record?.state === "dispatched" &&
    record.attempt === ref.attempt &&
    record.host === providerHostOf("webhook")
  );
}

const launchedAs = (claim: ClaimRecord): { is: "launched" } & LaunchHandle => ({
  is: "launched",
  ...handleOf(claim),
});

const handleOf = ({ claimId: id, identity }: ClaimRecord): LaunchHandle => ({ externalId: id, identity });

/** Reads the claim and the room. The runner reports readiness itself, to the gateway. */
async function observe(
  deps: RunnerDeps,
  silence: UnresponsiveAgents,
  launch: LaunchRecord,
): Promise<Observation> {
  const claim = (await readClaim(deps.bus, launch))?.value;
  if (claim === undefined || claim.state === "offered") {
    // A second request is harmless: the runner knows its id, and only one claim counts.
    if (launch.state === "intended") return { is: "absent", reason: "nobody has claimed it" };
    if (claim !== undefined) return { is: "launched", ...handleOf(claim) };
  }
  if (claim?.state === "expired") {
    const reason = `the agent runner accepted the job and did not claim it: ${claim.reason ?? "the claim has expired"}`;
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
  // A simulated room has no participants, so the claim counts as the join.
  if (livekit === undefined || livekit.isSimulated || room === undefined) return { is: "joined", ...handle };
  const present = await livekit.rooms.participants(room);
  const users = present.filter(isPerson).length;
  if (!present.some((participant) => participant.identity === identity))
    return { is: "launched", ...handle, users };
  const isSilent = await silence.of(room, identity);
  return { is: "joined", ...handle, users, ...(isSilent ? { isSilent } : {}) };
}
