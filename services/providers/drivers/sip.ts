// A telephone call through LiveKit SIP, into the room where a warm agent waits: dialled once, observed and ended.
import { type AttemptRef, sessionKey } from "../../../libs/contracts/ids.ts";
import {
  type CallProgress,
  calleeIdentityOf,
  type LaunchRecord,
} from "../../../libs/contracts/providers/provider.ts";
import type { Rooms } from "../../../libs/livekit/rooms.ts";
import type { Callee, DialResult, SipCalls } from "../../../libs/livekit/sip-calls.ts";
import { type Clock, sleep } from "../../../libs/runtime/clock.ts";
import type { CanDial } from "../launches/dial-guard.ts";
import {
  ENDED_UNANSWERED,
  type Launched,
  type LaunchOrder,
  type Observation,
  type ProviderDriver,
} from "./driver.ts";
import { callStatusOfSipCode } from "./sip-status.ts";

export interface SipOptions {
  readonly clock: Clock;
  readonly phones: SipCalls;
  readonly rooms: Pick<Rooms, "remove">;
  /** LiveKit's id of the trunk that a profile's calls go out on; undefined when none is set. */
  readonly trunkOf: (profile: string) => string | undefined;
  /** How long a telephone may ring, in seconds. */
  readonly ringS: number;
  /** Read when the intent is saved, and again before each try of a request that never went out. */
  readonly canDial: (ref: AttemptRef) => Promise<CanDial>;
}

/** One call that this instance dialed; only it learns how the call ended. */
interface Dial {
  dialled: DialResult | undefined;
  readonly done: Promise<void>;
}

/** A request that never left is made again so long: LiveKit is restarted, or its name not known yet. */
const SEND_AGAIN_MS = [500, 1000, 2000, 4000, 8000];
/** A callee who isn't in the room at two looks so far apart is gone, and not one whose bridge reconnects. */
const GONE_MS = 1000;
const ENDING_LOOK_MS = 250;
const ENDING_LOOKS = 20;

export function sipDriver(options: SipOptions): ProviderDriver {
  const { clock, phones, rooms, trunkOf } = options;
  const dials = new Map<string, Dial>();
  /** Since when a callee isn't in the room. */
  const goneSinceMs = new Map<string, number>();

  const isGone = (key: string): boolean => {
    const now = clock.monotonic();
    const since = goneSinceMs.get(key) ?? now;
    goneSinceMs.set(key, since);
    return now - since >= GONE_MS;
  };

  return {
    name: "sip",
    // The dialling itself goes on beside it.
    launchLimitMs: 10_000,

    async launch(order): Promise<Launched> {
      const trunkId = trunkOf(order.profile);
      const refusal = refusalOf(order, trunkId);
      if (refusal !== undefined || trunkId === undefined)
        return { is: "refused", reason: refusal ?? "", retryable: false };
      if ((await options.canDial(order)) !== "yes")
        return { is: "refused", reason: "nobody is called: the session has ended", retryable: false };
      const dial: Dial = {
        dialled: undefined,
        done: dialUntilSent(options, order, trunkId).then((dialled) => {
          dial.dialled = dialled;
        }),
      };
      dials.set(keyOf(order), dial);
      return { is: "launched", identity: calleeIdentityOf(order.sessionId), call: { status: "dialing" } };
    },

    async observe(launch): Promise<Observation> {
      const key = keyOf(launch);
      const over = endBySaved(launch);
      if (over !== undefined) return over;
      const callee = await phones.observe(launch.room ?? "", calleeIdentityOf(launch.sessionId));
      // Read after the look: who was there at the look may have been refused since, and not the other way round.
      const dial = dials.get(key);
      const end = endByDial(dial?.dialled);
      // A session that ends takes its room along, on which LiveKit SIP stops ringing as if the time were up.
      if (end !== undefined) return (await options.canDial(launch)) === "yes" ? end : { is: "launched" };
      if (callee !== undefined) {
        goneSinceMs.delete(key);
        return standing(callee, launch, dial?.dialled);
      }
      if (dial !== undefined && dial.dialled === undefined)
        return { is: "launched", call: { status: "dialing" } };
      if (launch.state === "intended")
        return {
          is: "untellable",
          reason: "whoever was to dial is gone, and so is the callee, if they were called",
        };
      if (!isGone(key)) return { is: "launched" };
      return endOfGone(launch, dial?.dialled);
    },

    /** The answer to a dialling comes here and nowhere else, and counts once it is saved. */
    isUnfinished(launch) {
      const dial = dials.get(keyOf(launch));
      if (dial === undefined || dial.dialled?.is === "unconfirmed") return false;
      return dial.dialled === undefined || ["dialing", "ringing"].includes(launch.call?.status ?? "dialing");
    },

    async end(launch): Promise<CallProgress | undefined> {
      const key = keyOf(launch);
      const identity = calleeIdentityOf(launch.sessionId);
      for (let look = 0; ; look++) {
        await rooms.remove(launch.room ?? "", identity);
        const dial = dials.get(key);
        if (dial === undefined || dial.dialled !== undefined) break;
        // What is being dialled may come into the room yet; it is put out until the dialling has ended.
        if (look === ENDING_LOOKS)
          throw new Error(`the call of ${launch.sessionId} still rings; it is ended again`);
        await Promise.race([dial.done, sleep(clock, ENDING_LOOK_MS)]);
        if (dial.dialled !== undefined) await rooms.remove(launch.room ?? "", identity);
      }
      const dial = dials.get(key);
      dials.delete(key);
      goneSinceMs.delete(key);
      return endFromHere(dial?.dialled);
    },
  };
}

/** A session has one call, however many agents serve it. */
const keyOf = sessionKey;

function refusalOf({ call, profile }: LaunchOrder, trunkId: string | undefined): string | undefined {
  if (call === undefined) return "there is no number to call: give it as call.to";
  if (trunkId !== undefined) return undefined;
  return `no SIP trunk is set for the profile ${profile}: set GREENROOM_SIP_TRUNK, or ${profile}=sip:<trunk id> in GREENROOM_PROVIDERS`;
}

/** Once the request has gone out it is never sent again; until then nobody can have been called. */
async function dialUntilSent(options: SipOptions, order: LaunchOrder, trunkId: string): Promise<DialResult> {
  const { clock, canDial: mayCall, phones, ringS } = options;
  const { call, room, sessionId, user } = order;
  for (let tries = 0; ; tries++) {
    const dialled = await phones.dial({
      trunkId,
      to: call?.to ?? "",
      from: call?.from,
      room,
      identity: calleeIdentityOf(sessionId),
      name: user.name,
      ringS,
      // The janitor ends a conversation that lasts too long; this is for when nobody is left to do so.
      longestS: Math.ceil(order.longestMs / 1000) + ringS + 60,
    });
    const pauseMs = SEND_AGAIN_MS[tries];
    if (dialled.is !== "not sent" || pauseMs === undefined) return dialled;
    await sleep(clock, pauseMs);
    const may = await mayCall(order).catch(() => "yes" as const);
    if (may !== "yes") return { is: "refused", reason: "the session ended before anybody could be called" };
  }
}

function standing(callee: Callee, launch: LaunchRecord, dialled: DialResult | undefined): Observation {
  const handle = {
    identity: calleeIdentityOf(launch.sessionId),
    ...(callee.callId === undefined ? {} : { externalId: callee.callId }),
  };
  switch (callee.status) {
    case "active":
    case "automation":
    case "hangup":
      return { is: "ready", ...handle, call: { status: "answered" } };
    case "ringing":
      return { is: "launched", ...handle, call: { status: "ringing" } };
    default:
      return dialled?.is === "answered"
        ? { is: "ready", ...handle, call: { status: "answered" } }
        : { is: "launched", ...handle, call: { status: "dialing" } };
  }
}

/** How a call ended that was dialled here and that nobody answered. */
function endByDial(dialled: DialResult | undefined): Observation | undefined {
  switch (dialled?.is) {
    case "rang out":
      return ended({ status: "noAnswer", providerReason: "the ring time-out" }, "nobody answered");
    case "not sent":
      return ended({ status: "failed", providerReason: dialled.reason }, dialled.reason);
    case "refused": {
      const { permanent, sipCode, reason } = dialled;
      const call: CallProgress =
        sipCode === undefined
          ? { status: "failed", providerReason: reason, ...(permanent ? { permanent } : {}) }
          : { ...callStatusOfSipCode(sipCode), providerReason: reason };
      return ended(call, `${WORDS[call.status]}: ${reason}`);
    }
    default:
      return undefined;
  }
}

/** How a call ended that was dialled here and then hung up from here; who dialled knows whether it was answered. */
function endFromHere(dialled: DialResult | undefined): CallProgress | undefined {
  switch (dialled?.is) {
    case "answered":
      return { status: "hungUp" };
    case "rang out":
    case "not sent":
    case "refused": {
      const sipCode = dialled.is === "refused" ? dialled.sipCode : undefined;
      return {
        status: "hungUp",
        unanswered: true,
        providerReason: ENDED_UNANSWERED,
        ...(sipCode === undefined ? {} : { sipCode }),
      };
    }
    default:
      return undefined;
  }
}

/** A callee who was there, or may have been, and isn't any more. */
function endOfGone({ call }: LaunchRecord, dialled: DialResult | undefined): Observation {
  if (call?.status === "answered" || dialled?.is === "answered")
    return ended({ status: "hungUp" }, "the callee hung up");
  const reason =
    dialled?.is === "unconfirmed" ? dialled.reason : "who dialled is gone, and the callee has left the room";
  return ended(
    { status: "unknown", providerReason: reason },
    `nobody can tell whether the call was answered: ${reason}`,
  );
}

/** What was saved once stays so, whoever looks. */
function endBySaved({ call }: LaunchRecord): Observation | undefined {
  if (call === undefined || ["dialing", "ringing", "answered"].includes(call.status)) return undefined;
  const { providerReason: reason, status } = call;
  return ended(call, reason === undefined ? WORDS[status] : `${WORDS[status]}: ${reason}`);
}

const ended = (call: CallProgress, reason: string): Observation => ({
  is: "ended",
  reason,
  call:
    call.providerReason === undefined ? call : { ...call, providerReason: call.providerReason.slice(0, 240) },
});

const WORDS: Record<CallProgress["status"], string> = {
  dialing: "the call was dialled",
  ringing: "the telephone rang",
  answered: "the call was answered",
  busy: "the callee was busy",
  noAnswer: "nobody answered",
  voicemail: "a voicemail answered",
  failed: "the call could not be made",
  hungUp: "the callee hung up",
  unknown: "nobody can tell whether the call was answered",
};
