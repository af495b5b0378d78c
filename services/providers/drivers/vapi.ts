// The provider `vapi`: VAPI makes the call with its own assistant; launched, observed and ended over its HTTP API.
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

/** The used part of VAPI's API. */
export type Vapi = Pick<VapiApi, "create" | "get" | "find" | "hangUp" | "delete">;

export interface VapiOptions {
  readonly url: string;
  readonly key: string;
  readonly clock: Clock;
  /** The id of VAPI's assistant for a profile; undefined when none is configured. */
  readonly assistantOf: (profile: string) => string | undefined;
  /** VAPI's ids of the calling numbers, by number; the first is the default. */
  readonly numbers: ReadonlyMap<string, string>;
  /** The shortest time between two reads of a call, in ms. */
  readonly pollMs: number;
  /** How long VAPI may take to answer, in ms. */
  readonly answerMs: number;
  /** The pauses before each lookup of a requested call, in ms: VAPI may list it a little later. */
  readonly lookUpAfterMs?: readonly number[];
  /** By default VAPI's HTTP API. */
  readonly api?: Vapi;
  /** Asked after the intent was saved. */
  readonly canDial: (order: LaunchOrder) => Promise<CanDial>;
}

const LOOK_UP_AFTER_MS = [0, 1000, 3000, 6000];
/** How far this clock may be ahead of VAPI's. With a larger lead the lookup finds nothing, and nothing is dialed. */
const CLOCKS_APART_MS = 60 * 60 * 1000;
/** VAPI's longest call: https://docs.vapi.ai, Call timeout settings. */
const LONGEST_S = 43_200;
/** The ringing before the conversation, on top of its longest duration. */
const SPARE_S = 60;
/** The forms of number that VAPI accepts: E.164, or a name at a SIP trunk. */
const E164 = /^\+[1-9]\d{5,14}$/;
const ALPHANUMERIC = /^[A-Za-z0-9]+$/;

const NOT_CALLED: Record<Exclude<CanDial, "yes">, string> = {
  "moved on": "the session has ended or moved on to another attempt",
  "made before": "an earlier attempt may have made the call, and a session has one call",
};

export function vapiDriver(options: VapiOptions): ProviderDriver {
  const { answerMs, clock, lookUpAfterMs = LOOK_UP_AFTER_MS } = options;
  const api = options.api ?? new VapiApi(options);
  const looks = new RecentLooks(clock, options.pollMs);

  /** Finds the call of an intent. */
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
      reason: "VAPI lists no such call, although it may have received the request; no second request is made",
    };
  }

  return {
    name: "vapi",
    launchLimitMs: answerMs + lookUpAfterMs.reduce((sum, afterMs) => sum + afterMs + answerMs, 0),

    async launch(order): Promise<Launched> {
      const body = requestFor(order, options);
      if (typeof body === "string") return { is: "refused", reason: body, retryable: false };
      const may = await options.canDial(order);
      if (may !== "yes") return { is: "refused", reason: `not called: ${NOT_CALLED[may]}`, retryable: false };
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
      if (call === undefined) return { is: "absent", reason: `VAPI no longer knows the call ${externalId}` };
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

/** The call was still queued just before, so no phone rang. */
const endOfDeleted: CallProgress = {
  status: "hungUp",
  unanswered: true,
  providerReason: `${ENDED_UNANSWERED}: it was deleted`,
};

/** How often a call is read until it has ended. */
const END_POLLS = 3;
const END_POLL_MS = 700;

/** @throws when the call goes on; the caller retries */
async function endCall(api: Vapi, clock: Clock, id: string): Promise<CallProgress | undefined> {
  let isDeleted = false;
  for (let look = 0; look < END_POLLS; look++) {
    const call = await api.get(id);
    if (call === undefined) return isDeleted ? endOfDeleted : undefined;
    if (isOver(call)) return endFromHere(call);
    const controlUrl = call.monitor?.controlUrl;
    const isHangingUp = controlUrl ? await api.hangUp(controlUrl) : false;
    // A call that has not rung can only be stopped by deleting it.
    if (!isHangingUp && (call.status === "queued" || call.status === "scheduled")) {
      await api.delete(id);
      isDeleted = true;
    }
    await sleep(clock, END_POLL_MS);
  }
  const call = await api.get(id);
  if (call === undefined) return isDeleted ? endOfDeleted : undefined;
  if (isOver(call)) return endFromHere(call);
  throw new Error(
    `VAPI's call ${id} is ${call.status} and can't be ended. Is controlEnabled off in its assistant's monitorPlan?`,
  );
}

const noAssistant = (profile: string): string =>
  `no VAPI assistant is configured for the profile ${profile}: set GREENROOM_PROVIDERS=${profile}=vapi:<assistant id>`;

/** The request for a call, or the reason why the order can't be called. */
function requestFor(order: LaunchOrder, { assistantOf, numbers }: VapiOptions): object | string {
  const { call, metadata, profile, sessionId, tenant } = order;
  if (call === undefined) return "no number to call: set call.to";
  const assistantId = assistantOf(profile);
  if (assistantId === undefined) return noAssistant(profile);
  const phoneNumberId = call.from === undefined ? [...numbers.values()][0] : numbers.get(call.from);
  if (phoneNumberId === undefined)
    return call.from === undefined
      ? "no calling number is configured: set GREENROOM_VAPI_NUMBERS"
      : `no VAPI id is configured for the number ${call.from}: add it to GREENROOM_VAPI_NUMBERS`;
  if (!E164.test(call.to) && !ALPHANUMERIC.test(call.to))
    return `VAPI can't call ${call.to}: use a number like +15550100, or letters and digits`;
  return {
    name: callNameOf(tenant, sessionId),
    assistantId,
    phoneNumberId,
    customer: { number: call.to, ...(E164.test(call.to) ? {} : { numberE164CheckEnabled: false }) },
    assistantOverrides: {
      // For the assistant's {{templates}}.
      variableValues: metadata,
      metadata: { greenroom: attemptRefOf(order) },
      // VAPI's default is 10 minutes. The janitor ends a session that lasts too long; this limit works without one.
      maxDurationSeconds: Math.min(LONGEST_S, Math.ceil(order.longestMs / 1000) + SPARE_S),
    },
  };
}

/** Recent observations: the launch manager looks often, and VAPI limits the rate of requests. */
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
    // The oldest entries are calls that another instance has taken over and ended.
    if (this.#looks.size > 10_000) this.forget(this.#looks.keys().next().value ?? "");
    return found;
  }

  forget(id: string): void {
    this.#looks.delete(id);
  }
}
