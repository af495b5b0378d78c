// A phone call through LiveKit SIP into the room where a warm agent waits: dialed once, observed and ended.
import { type AttemptRef, sessionKey } from "../../../libs/contracts/ids.ts";
import {
  type CallProgress,
  calleeIdentityOf,
  type LaunchRecord,
} from "../../../libs/contracts/providers/provider.ts";
import { isPerson, type Rooms } from "../../../libs/livekit/rooms.ts";
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
  readonly rooms: Pick<Rooms, "participants" | "remove">;
  /** LiveKit's id of the outbound trunk of a profile; undefined when none is configured. */
  readonly trunkOf: (profile: string) => string | undefined;
  /** How long a phone may ring, in seconds. */
  readonly ringS: number;
  /** Asked after the intent was saved, and again before each repetition of a request that was not sent. */
  readonly canDial: (ref: AttemptRef) => Promise<CanDial>;
}

/** One call that this instance dialed; only it learns how the call ended. */
interface Dial {
  dialed: DialResult | undefined;
  readonly done: Promise<void>;
}

/** The pauses before a request that was not sent is repeated, for example while LiveKit restarts. */
const SEND_AGAIN_MS = [500, 1000, 2000, 4000, 8000];
/** A callee who is missing for this long is gone. A bridge that reconnects is back sooner. */
const GONE_MS = 1000;
const END_POLL_MS = 250;
const END_POLLS = 20;

export function sipDriver(options: SipOptions): ProviderDriver {
  const { clock, phones, rooms, trunkOf } = options;
  const dials = new Map<string, Dial>();
  /** When a callee was first missing from the room. */
  const goneSinceMs = new Map<string, number>();

  const isGone = (key: string): boolean => {
    const now = clock.monotonic();
    const since = goneSinceMs.get(key) ?? now;
    goneSinceMs.set(key, since);
    return now - since >= GONE_MS;
  };

  return {
    name: "sip",
    // `launch` does not wait for the answer of the callee.
    launchLimitMs: 10_000,

    async launch(order): Promise<Launched> {
      const trunkId = trunkOf(order.profile);
      const refusal = refusalOf(order, trunkId);
      if (refusal !== undefined || trunkId === undefined)
        return { is: "refused", reason: refusal ?? "", retryable: false };
      if ((await options.canDial(order)) !== "yes")
        return { is: "refused", reason: "the session has ended, so nobody is called", retryable: false };
      const dial: Dial = {
        dialed: undefined,
        done: dialUntilSent(options, order, trunkId).then((dialed) => {
          dial.dialed = dialed;
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
      // Read after the participant: a callee who was present may have been refused since, but not the reverse.
      const dial = dials.get(key);
      const end = endByDial(dial?.dialed);
      // When a session ends, its callee is removed, and LiveKit SIP stops ringing as after a ring time-out.
      if (end !== undefined) return (await options.canDial(launch)) === "yes" ? end : { is: "launched" };
      if (callee !== undefined) {
        goneSinceMs.delete(key);
        return progressOf(callee, launch, dial?.dialed);
      }
      if (dial !== undefined && dial.dialed === undefined)
        return { is: "launched", call: { status: "dialing" } };
      if (launch.state === "intended")
        return {
          is: "untellable",
          reason: "the dialing instance is dead, and the callee, if there was one, has left",
        };
      if (!isGone(key)) return { is: "launched" };
      return endOfGone(launch, dial?.dialed);
    },

    /** Only this process gets the answer of a dialed call, which counts once it is saved. */
    isUnfinished(launch) {
      const dial = dials.get(keyOf(launch));
      if (dial === undefined || dial.dialed?.is === "unconfirmed") return false;
      return dial.dialed === undefined || ["dialing", "ringing"].includes(launch.call?.status ?? "dialing");
    },

    async end(launch): Promise<CallProgress | undefined> {
      const key = keyOf(launch);
      const identity = calleeIdentityOf(launch.sessionId);
      const isAnswered = () =>
        dials.get(key)?.dialed?.is === "answered" || launch.call?.status === "answered";
      for (let look = 0; ; look++) {
        if (isAnswered() && (await isTransferred(rooms, launch.room ?? "", identity))) break;
        await rooms.remove(launch.room ?? "", identity);
        const dial = dials.get(key);
        if (dial === undefined || dial.dialed !== undefined) break;
        // The callee of a call in progress may still join, and is removed until dialing has ended.
        if (look === END_POLLS) throw new Error(`The call of session ${launch.sessionId} still rings.`);
        await Promise.race([dial.done, sleep(clock, END_POLL_MS)]);
        if (dial.dialed !== undefined) await rooms.remove(launch.room ?? "", identity);
      }
      const dial = dials.get(key);
      dials.delete(key);
      goneSinceMs.delete(key);
      return endFromHere(dial?.dialed);
    },
  };
}

/** Whether the callee goes on with another person, that the agent has brought into the room. */
async function isTransferred(rooms: SipOptions["rooms"], room: string, callee: string): Promise<boolean> {
  const present = await rooms.participants(room);
  return present.some((participant) => isPerson(participant) && participant.identity !== callee);
}

/** A session has one call, even if several agents serve it. */
const keyOf = sessionKey;

function refusalOf({ call, profile }: LaunchOrder, trunkId: string | undefined): string | undefined {
  if (call === undefined) return "no number to call: set call.to";
  if (trunkId !== undefined) return undefined;
  return `no SIP trunk is configured for the profile ${profile}: set GREENROOM_SIP_TRUNK, or ${profile}=sip:<trunk id> in GREENROOM_PROVIDERS`;
}

/** Repeats the request until it is sent, and never after that: before, nobody can have been called. */
async function dialUntilSent(options: SipOptions, order: LaunchOrder, trunkId: string): Promise<DialResult> {
  const { clock, canDial, phones, ringS } = options;
  const { call, room, sessionId, user } = order;
  for (let tries = 0; ; tries++) {
    const dialed = await phones.dial({
      trunkId,
      to: call?.to ?? "",
      from: call?.from,
      room,
      identity: calleeIdentityOf(sessionId),
      name: user.name,
      ringS,
      // The janitor ends a conversation that lasts too long. This limit works without a janitor too.
      longestS: Math.ceil(order.longestMs / 1000) + ringS + 60,
    });
    const pauseMs = SEND_AGAIN_MS[tries];
    if (dialed.is !== "not sent" || pauseMs === undefined) return dialed;
    await sleep(clock, pauseMs);
    const may = await canDial(order).catch(() => "yes" as const);
    if (may !== "yes") return { is: "refused", reason: "the session ended before the call was dialed" };
  }
}

function progressOf(callee: Callee, launch: LaunchRecord, dialed: DialResult | undefined): Observation {
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
      return dialed?.is === "answered"
        ? { is: "ready", ...handle, call: { status: "answered" } }
        : { is: "launched", ...handle, call: { status: "dialing" } };
  }
}

/** The end of a call that was dialed here and not answered. */
function endByDial(dialed: DialResult | undefined): Observation | undefined {
  switch (dialed?.is) {
    case "rang out":
      return ended({ status: "noAnswer", providerReason: "the ring time-out" }, "nobody answered");
    case "not sent":
      return ended({ status: "failed", providerReason: dialed.reason }, dialed.reason);
    case "refused": {
      const { permanent, sipCode, reason } = dialed;
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

/** The end of a call that was dialed here and then ended here. Only the dialing instance knows whether it was answered. */
function endFromHere(dialed: DialResult | undefined): CallProgress | undefined {
  switch (dialed?.is) {
    case "answered":
      return { status: "hungUp" };
    case "rang out":
    case "not sent":
    case "refused": {
      const sipCode = dialed.is === "refused" ? dialed.sipCode : undefined;
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

/** The end of a call whose callee was, or may have been, in the room. */
function endOfGone({ call }: LaunchRecord, dialed: DialResult | undefined): Observation {
  if (call?.status === "answered" || dialed?.is === "answered")
    return ended({ status: "hungUp" }, "the callee hung up");
  const reason =
    dialed?.is === "unconfirmed" ? dialed.reason : "the dialing instance is dead, and the callee has left";
  return ended({ status: "unknown", providerReason: reason }, `${WORDS.unknown}: ${reason}`);
}

/** A saved end of the call is final. */
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
  dialing: "the call was dialed",
  ringing: "the phone rang",
  answered: "the call was answered",
  busy: "the callee was busy",
  noAnswer: "nobody answered",
  voicemail: "a voicemail answered",
  failed: "the call could not be made",
  hungUp: "the callee hung up",
  unknown: "whether the call was answered is unknown",
};
