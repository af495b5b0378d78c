// Maps VAPI's `status` and `endedReason` of a call to an observation. Pure.
import { z } from "zod";
import type { CallProgress } from "../../../libs/contracts/providers/provider.ts";
import { base62, sha256 } from "../../../libs/domain/ids.ts";
import { ENDED_UNANSWERED, type Observation } from "./driver.ts";
import { callStatusOfSipCode } from "./sip-status.ts";

/** The used fields of VAPI's Call object. */
export const VapiCall = z.object({
  id: z.string().min(1).max(256),
  status: z.string().optional(),
  endedReason: z.string().optional(),
  endedMessage: z.string().nullish(),
  name: z.string().nullish(),
  createdAt: z.string().optional(),
  /** Set when the call was answered. */
  startedAt: z.string().nullish(),
  monitor: z.object({ controlUrl: z.string().nullish() }).nullish(),
});
export type VapiCall = z.infer<typeof VapiCall>;

/**
 * The name of a session's call at VAPI, by which a lookup finds it. VAPI allows 40 characters, and no metadata for a
 * call. It has no attempt: a session has at most one call.
 */
export const callNameOf = (tenant: string, sessionId: string): string =>
  `greenroom ${base62(sha256([tenant, sessionId]))}`;

/** @param wasAnswered whether an earlier observation found the call answered */
export function observationOf(call: VapiCall, wasAnswered: boolean): Observation {
  const handle = { externalId: call.id };
  switch (call.status) {
    case "ringing":
      return { is: "joined", ...handle, call: { status: "ringing" } };
    case "in-progress":
    case "forwarding":
      return { is: "ready", ...handle, call: { status: "answered" } };
    case "ended":
    case "not-found":
    case "deletion-failed":
      return endOf(call, wasAnswered || typeof call.startedAt === "string");
    default:
      // scheduled, queued, and any other state before an answer.
      return { is: "launched", ...handle, call: { status: wasAnswered ? "answered" : "dialing" } };
  }
}

export const isOver = ({ status }: VapiCall): boolean =>
  status === "ended" || status === "not-found" || status === "deletion-failed";

function endOf(call: VapiCall, wasAnswered: boolean): Observation {
  const vapiReason = call.endedReason ?? call.status ?? "unknown";
  const { status, sipCode, failed, permanent, description } = endingOf(vapiReason, wasAnswered);
  const progress: CallProgress = {
    status,
    providerReason: vapiReason.slice(0, 240),
    ...(sipCode === undefined ? {} : { sipCode }),
    ...(permanent === true && status === "failed" ? { permanent } : {}),
    ...(status === "voicemail" ? { answeredBy: "machine" as const } : {}),
  };
  const detail = call.endedMessage ? `: ${call.endedMessage.slice(0, 200)}` : "";
  const reason = `${description} (VAPI: ${vapiReason})${detail}`;
  if (failed !== true) return { is: "ended", reason, call: progress };
  // A session has one call. The client decides whether to make another.
  return { is: "ended", reason, error: reason, cause: "provider", retryable: false, call: progress };
}

/** VAPI's reasons for a call that was ended through its API. */
const ENDED_FROM_HERE = new Set(["manually-canceled", "scheduled-call-deleted", "call-deleted"]);

/** The end of a call that was ended here; undefined when it is unknown whether the call was answered. */
export function endFromHere(call: VapiCall): CallProgress | undefined {
  const vapiReason = call.endedReason ?? call.status ?? "unknown";
  const { status } = endingOf(vapiReason, typeof call.startedAt === "string");
  if (status === "hungUp" || status === "voicemail")
    return { status, providerReason: vapiReason.slice(0, 240) };
  if (status === "unknown" && !ENDED_FROM_HERE.has(vapiReason)) return undefined;
  const providerReason = `${ENDED_UNANSWERED}: ${vapiReason}`.slice(0, 240);
  return { status: "hungUp", unanswered: true, providerReason };
}

interface Ending {
  readonly status: CallProgress["status"];
  readonly sipCode?: number;
  /** Set when something other than the callee failed. */
  readonly failed?: true;
  /** Set when a repeated call would fail the same way. */
  readonly permanent?: true;
  readonly description: string;
}

/**
 * The end of a call by VAPI's reason. After an answer, an unlisted reason counts as the end of the conversation.
 * Otherwise it is `unknown` whether the callee was reached, so that the call is not repeated.
 */
export function endingOf(reason: string, wasAnswered: boolean): Ending {
  const found = byName.get(reason) ?? patterns.find(([pattern]) => pattern.test(reason))?.[1](reason);
  if (found === undefined)
    return wasAnswered
      ? { status: "hungUp", description: "the call ended" }
      : {
          status: "unknown",
          failed: true,
          description: "the call ended, and whether it was answered is unknown",
        };
  // After an answer, "no answer" or "failed" would call the person again.
  const isUnanswered = ["busy", "noAnswer", "failed", "unknown"].includes(found.status);
  return wasAnswered && isUnanswered ? { ...found, status: "hungUp" } : found;
}

const hungUp = (description: string): Ending => ({ status: "hungUp", description });
/** A conversation that ended with an error, and must not be repeated. */
const brokeOff = (description: string): Ending => ({ status: "hungUp", failed: true, description });
const notMade = (description: string): Ending => ({ status: "failed", failed: true, description });
/** The number, the assistant or the account has to be corrected first. */
const neverMade = (description: string): Ending => ({ ...notMade(description), permanent: true });

const byName: ReadonlyMap<string, Ending> = new Map([
  ["customer-busy", { status: "busy", description: "the callee was busy" }],
  ["customer-did-not-answer", { status: "noAnswer", description: "nobody answered" }],
  ["voicemail", { status: "voicemail", description: "a voicemail answered" }],
  ["assistant-ended-call", hungUp("the assistant ended the call")],
  ["assistant-ended-call-after-message-spoken", hungUp("the assistant ended the call after its last words")],
  ["assistant-ended-call-with-hangup-task", hungUp("the assistant ended the call")],
  ["assistant-said-end-call-phrase", hungUp("the assistant said the words that end a call")],
  ["assistant-forwarded-call", hungUp("the assistant forwarded the call")],
  ["customer-ended-call", hungUp("the callee hung up")],
  ["customer-ended-call-before-warm-transfer", hungUp("the callee hung up")],
  ["customer-ended-call-after-warm-transfer-attempt", hungUp("the callee hung up")],
  ["customer-ended-call-during-transfer", hungUp("the callee hung up")],
  ["exceeded-max-duration", hungUp("the call reached VAPI's longest duration")],
  ["silence-timed-out", hungUp("nobody spoke for too long")],
  ["call.in-progress.twilio-completed-call", hungUp("the carrier completed the call")],
  ["call.in-progress.sip-completed-call", hungUp("the carrier completed the call")],
  ["vonage-completed", hungUp("the carrier completed the call")],
  // Cancelled on purpose: as "failed" it would be repeated.
  ["manually-canceled", { status: "unknown", failed: true, description: "the call was cancelled at VAPI" }],
  [
    "scheduled-call-deleted",
    { status: "unknown", failed: true, description: "the call was deleted at VAPI" },
  ],
  ["call-deleted", { status: "unknown", failed: true, description: "the call was deleted at VAPI" }],
  ["twilio-failed-to-connect-call", notMade("the carrier could not connect the call")],
  ["vonage-failed-to-connect-call", notMade("the carrier could not connect the call")],
  ["vonage-rejected", notMade("the carrier rejected the call")],
  ["twilio-reported-customer-misdialed", neverMade("the carrier reported that the number does not exist")],
  ["call.start.error-vapi-number-international", neverMade("this VAPI number makes no international calls")],
  [
    "call.start.error-vapi-number-outbound-daily-limit",
    neverMade("the VAPI number has reached its daily limit"),
  ],
  [
    "call.start.error-subscription-concurrency-limit-reached",
    notMade("the VAPI account has reached its limit of concurrent calls"),
  ],
  ["call.start.error-vapifault-database-error", notMade("VAPI could not begin the call")],
  ["call.start.error-get-transport", notMade("VAPI could not begin the call")],
  [
    "call.start.error-get-assistant",
    neverMade("VAPI can't get the assistant: check its id in GREENROOM_PROVIDERS"),
  ],
  [
    "call.start.error-get-phone-number",
    neverMade("VAPI can't get the calling number: check its id in GREENROOM_VAPI_NUMBERS"),
  ],
  ["call.start.error-get-resources-validation", neverMade("VAPI rejected the assistant or its tools")],
  ["call.start.error-fraud-check-failed", neverMade("VAPI blocked the call as fraud")],
  ["assistant-join-timed-out", notMade("the assistant did not join the call in time")],
  ["assistant-not-found", neverMade("VAPI has no such assistant")],
  ["assistant-not-valid", neverMade("VAPI rejected the assistant")],
  ["worker-shutdown", notMade("VAPI's worker stopped")],
  ["phone-call-provider-closed-websocket", notMade("the carrier closed its connection to VAPI")],
]);

const SIP_CODE = /sip-(\d{3})\b/;

/** Tried in this order, after the names above. */
const patterns: readonly (readonly [RegExp, (reason: string) => Ending])[] = [
  [/outbound-sip-\d{3}-/, (reason) => ofSipCode(Number(SIP_CODE.exec(reason)?.[1]))],
  [/sip-outbound-call-failed-to-connect$/, () => notMade("the carrier could not connect the call")],
  [
    /transport-never-connected$|worker-not-available$|worker-died$/,
    () => notMade("VAPI could not carry the call"),
  ],
  [
    /^call\.start\.error-(subscription|enterprise-feature)-/,
    () => neverMade("VAPI makes no calls for this account"),
  ],
  [
    /^call-start-error-neither-assistant-nor-server-set$|^assistant-(not-provided|not-invalid)$/,
    () => neverMade("VAPI received no usable assistant"),
  ],
  [/^call[.-]start[.-]error/, () => notMade("VAPI did not begin the call")],
  [/^assistant-request-/, () => notMade("VAPI could not get the assistant for the call")],
  [/^customer-did-not-give-microphone-permission$/, () => notMade("the callee denied the microphone")],
  [/^customer-ended-call/, () => hungUp("the callee hung up")],
  [/^assistant-(ended|said)-/, () => hungUp("the assistant ended the call")],
  [
    /^call\.in-progress\.error|^pipeline-|^vonage-disconnected$|^call\.(ending|forwarding)\./,
    () => brokeOff("the call broke off"),
  ],
];

function ofSipCode(sipCode: number): Ending {
  const call = callStatusOfSipCode(sipCode);
  const description = `the carrier answered SIP ${sipCode}`;
  return call.status === "failed" ? { ...call, failed: true, description } : { ...call, description };
}
