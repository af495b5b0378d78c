// VAPI makes the call and brings its assistant: launched, observed and ended over VAPI's HTTP API.
import { attemptRefOf } from "../../../libs/contracts/ids.ts";
import type { CallProgress, LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import { type Clock, sleep } from "../../../libs/runtime/clock.ts";
import type { CanDial } from "../launches/dial-guard.ts";
import {
  ENDED_UNANSWERED,
  type Launched,
  type LaunchOrder,
  type Observation,
  type ProviderDriver,
} from "./driver.ts";
import { VapiApi } from "./vapi-api.ts";
import { callNameOf, endFromHere, isOver, observationOf } from "./vapi-status.ts";

/** What of VAPI is used. */
export type Vapi = Pick<VapiApi, "create" | "get" | "find" | "hangUp" | "delete">;

export interface VapiOptions {
  readonly url: string;
  readonly key: string;
  readonly clock: Clock;
  /** VAPI's assistant for a profile, by its id there; undefined when none is set. */
  readonly assistantOf: (profile: string) => string | undefined;
  /** VAPI's ids of our telephone numbers, by the number; the first is the default. */
  readonly numbers: ReadonlyMap<string, string>;
  /** In ms; a call is looked at no more often. */
  readonly pollMs: number;
  /** In ms; how long VAPI may take to answer. */
  readonly answerMs: number;
  /** In ms; a call that was asked for may be listed a little later, so it is looked for after each of these. */
  readonly lookUpAfterMs?: readonly number[];
  /** VAPI itself, when it isn't reached over HTTP. */
  readonly api?: Vapi;
  /** Read when the intent is saved. */
  readonly canDial: (order: LaunchOrder) => Promise<CanDial>;
}

const LOOK_UP_AFTER_MS = [0, 1000, 3000, 6000];
/** Our clock may be so far ahead of VAPI's. One that is further ahead finds nothing, which dials nothing either. */
const CLOCKS_APART_MS = 60 * 60 * 1000;
/** VAPI lets no call last longer: https://docs.vapi.ai, Call timeout settings. */
const LONGEST_S = 43_200;
/** On top of the longest conversation, for the ringing before it. */
const SPARE_S = 60;
/** VAPI's words for a telephone number of its own kind, or of a SIP trunk. */
const E164 = /^\+[1-9]\d{5,14}$/;
const ALPHANUMERIC = /^[A-Za-z0-9]+$/;

const NOT_CALLED: Record<Exclude<CanDial, "yes">, string> = {
  "moved on": "the session has ended or went on with another attempt",
  "made before": "an earlier attempt may have had the call made, and a session has one call",
};

export function vapiDriver(options: VapiOptions): ProviderDriver {
  const { answerMs, clock, lookUpAfterMs = LOOK_UP_AFTER_MS } = options;
  const api = options.api ?? new VapiApi(options);
  const looks = new RecentLooks(clock, options.pollMs);

  /** A call of which only the intent is known. */
  const find = (launch: LaunchRecord, assistantId: string) =>
    api.find(callNameOf(launch.tenant, launch.sessionId), {
      since: new Date(Date.parse(launch.at) - CLOCKS_APART_MS).toISOString(),
      assistantId,
    });

  async function lookUp(launch: LaunchRecord): Promise<Observation> {
    const assistantId = options.assistantOf(launch.profile);
    if (assistantId === undefined) return { is: "untellable", reason: noAssistant(launch.profile) };
    for (const afterMs of lookUpAfterMs) {
      if (afterMs > 0) await sleep(clock, afterMs);
      const call = await find(launch, assistantId);
      if (call !== undefined) return observationOf(call, false);
    }
    return {
      is: "untellable",
      reason: "VAPI lists no such call, which it may yet have been asked for; it is not asked again",
    };
  }

  return {
    name: "vapi",
    launchLimitMs: answerMs + lookUpAfterMs.reduce((sum, afterMs) => sum + afterMs + answerMs, 0),

    async launch(order): Promise<Launched> {
      const body = requestFor(order, options);
      if (typeof body === "string") return { is: "refused", reason: body, retryable: false };
      const may = await options.canDial(order);
      if (may !== "yes")
        return { is: "refused", reason: `nobody is called: ${NOT_CALLED[may]}`, retryable: false };
      const created = await api.create(body);
      if (created.is !== "created") return created;
      return { is: "launched", externalId: created.call.id, call: { status: "dialing" } };
    },

    async observe(launch): Promise<Observation> {
      const { externalId } = launch;
      if (externalId === undefined) return lookUp(launch);
      const recent = looks.of(externalId);
      if (recent !== undefined) return recent;
      const call = await api.get(externalId);
      if (call === undefined) return { is: "absent", reason: `VAPI knows no call ${externalId} any more` };
      return looks.note(externalId, observationOf(call, launch.call?.status === "answered"));
    },

    async end(launch): Promise<CallProgress | undefined> {
      const assistantId = options.assistantOf(launch.profile);
      const id =
        launch.externalId ?? (assistantId === undefined ? undefined : (await find(launch, assistantId))?.id);
      if (id === undefined) return undefined;
      looks.forget(id);
      return endCall(api, clock, id);
    },
  };
}

/** It was still queued a moment before, so that nobody was rung. */
const endOfDeleted: CallProgress = {
  status: "hungUp",
  unanswered: true,
  providerReason: `${ENDED_UNANSWERED}: it was deleted`,
};

/** A call that was told to end is looked at until it has, and a little longer than that takes. */
const ENDING_LOOKS = 3;
const ENDING_LOOK_MS = 700;

/** @throws when it goes on all the same: it is tried again then */
async function endCall(api: Vapi, clock: Clock, id: string): Promise<CallProgress | undefined> {
  let isDeleted = false;
  for (let look = 0; look < ENDING_LOOKS; look++) {
    const call = await api.get(id);
    if (call === undefined) return isDeleted ? endOfDeleted : undefined;
    if (isOver(call)) return endFromHere(call);
    const controlUrl = call.monitor?.controlUrl;
    const isTold = controlUrl ? await api.hangUp(controlUrl) : false;
    // One that nobody was rung for has nothing to lose by being deleted, and no other way to be stopped.
    if (!isTold && (call.status === "queued" || call.status === "scheduled")) {
      await api.delete(id);
      isDeleted = true;
    }
    await sleep(clock, ENDING_LOOK_MS);
  }
  const call = await api.get(id);
  if (call === undefined) return isDeleted ? endOfDeleted : undefined;
  if (isOver(call)) return endFromHere(call);
  throw new Error(
    `VAPI's call ${id} is ${call.status} and can't be ended: is controlEnabled off in its assistant's monitorPlan?`,
  );
}

const noAssistant = (profile: string): string =>
  `no VAPI assistant is set for the profile ${profile}: name it in GREENROOM_PROVIDERS, as ${profile}=vapi:<assistant id>`;

/** VAPI's request for a call; a text says why none can be made of the order. */
function requestFor(order: LaunchOrder, { assistantOf, numbers }: VapiOptions): object | string {
  const { call, metadata, profile, sessionId, tenant } = order;
  if (call === undefined)
    return "VAPI makes telephone calls, and this session names no number to call: give it as call.to";
  const assistantId = assistantOf(profile);
  if (assistantId === undefined) return noAssistant(profile);
  const phoneNumberId = call.from === undefined ? [...numbers.values()][0] : numbers.get(call.from);
  if (phoneNumberId === undefined)
    return call.from === undefined
      ? "no telephone number is set to call from: GREENROOM_VAPI_NUMBERS names them"
      : `VAPI's id of the number ${call.from} is not known: add it to GREENROOM_VAPI_NUMBERS`;
  if (!E164.test(call.to) && !ALPHANUMERIC.test(call.to))
    return `VAPI calls numbers as +15550100 and names of letters and digits, not ${call.to}`;
  return {
    name: callNameOf(tenant, sessionId),
    assistantId,
    phoneNumberId,
    customer: { number: call.to, ...(E164.test(call.to) ? {} : { numberE164CheckEnabled: false }) },
    assistantOverrides: {
      // For the assistant's {{templates}}, and for whoever looks at the call at VAPI.
      variableValues: metadata,
      metadata: { greenroom: attemptRefOf(order) },
      // VAPI's own limit is 10 min, whatever a session may last. The janitor ends one that lasts too long; this is
      // for when nobody is left to do so, and to let a longer one go on.
      maxDurationSeconds: Math.min(LONGEST_S, Math.ceil(order.longestMs / 1000) + SPARE_S),
    },
  };
}

/** What was found a moment ago: the frame looks often, and VAPI counts its questions. */
class RecentLooks {
  readonly #clock: Clock;
  readonly #keepMs: number;
  readonly #looks = new Map<string, { readonly atMs: number; readonly found: Observation }>();

  constructor(clock: Clock, keepMs: number) {
    this.#clock = clock;
    this.#keepMs = keepMs;
  }

  of(id: string): Observation | undefined {
    const look = this.#looks.get(id);
    return look !== undefined && this.#clock.monotonic() - look.atMs < this.#keepMs ? look.found : undefined;
  }

  note(id: string, found: Observation): Observation {
    this.#looks.delete(id);
    this.#looks.set(id, { atMs: this.#clock.monotonic(), found });
    // What nobody ended here, since another instance has it, is the oldest.
    if (this.#looks.size > 10_000) this.forget(this.#looks.keys().next().value ?? "");
    return found;
  }

  forget(id: string): void {
    this.#looks.delete(id);
  }
}
