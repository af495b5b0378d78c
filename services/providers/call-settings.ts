// The settings of phone calls: through LiveKit SIP, and through VAPI.
import { PhoneNumber, type ProviderName } from "../../libs/contracts/providers/provider.ts";
import type { ProviderRules } from "../../libs/contracts/providers/provider-rules.ts";
import { RING_S_MAX } from "../../libs/livekit/sip-calls.ts";
import { setting } from "../../libs/runtime/config.ts";

export const callSettings = {
  GREENROOM_SIP_TRUNK: setting.optionalText(
    "LiveKit's id of the outbound SIP trunk for calls, for example ST_abc. GREENROOM_PROVIDERS can name a trunk for one profile: sales=sip:ST_abc.",
  ),
  GREENROOM_SIP_RING_S: setting.integer(
    "Ring timeout in s. LiveKit's server waits at most 80 s for an answer.",
    45,
    5,
    RING_S_MAX,
  ),
  GREENROOM_VAPI_URL: setting.text("Address of VAPI's API.", "https://api.vapi.ai"),
  GREENROOM_VAPI_KEY: setting.secret(
    "Private API key of VAPI. GREENROOM_PROVIDERS names the assistants: sales=vapi:<assistant id>.",
  ),
  GREENROOM_VAPI_NUMBERS: setting.parsed(
    "VAPI's ids of the calling numbers: +15550100=<id>, +15550101=<id>, or a single id. A call that names no number uses the first one.",
    parseNumbers,
  ),
  GREENROOM_VAPI_POLL_MS: setting.integer(
    "Interval in ms between reads of a call from VAPI.",
    2000,
    250,
    60_000,
  ),
  GREENROOM_VAPI_ANSWER_MS: setting.integer(
    "Maximum time in ms in which VAPI must answer. A call request without an answer is looked up, and never repeated.",
    15_000,
    1000,
    60_000,
  ),
};

/** Stands for the number of a single id without one. */
const ANY = "any";

/** @throws Error that names the part that is invalid */
export function parseNumbers(text: string): ReadonlyMap<string, string> {
  const parts = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  const numbers = new Map<string, string>();
  for (const part of parts) {
    const [, number = ANY, id = ""] = /^(?:([^=\s]+)\s*=\s*)?([^=\s]+)$/.exec(part) ?? [];
    if (id === "" || (number === ANY && parts.length > 1))
      throw new Error(`"${part}" does not have the form number=id`);
    if (!PhoneNumber.safeParse(number).success) throw new Error(`"${number}" is not a number like +15550100`);
    if (numbers.has(number)) throw new Error(`${number} appears twice`);
    numbers.set(number, id);
  }
  return numbers;
}

/** The provider's name for a profile, where a rule has one. */
export const givenName = (
  rules: ProviderRules,
  provider: ProviderName,
  profile: string,
): string | undefined => {
  const name = rules.find((rule) => rule.profile === profile && rule.provider === provider)?.name;
  return name === profile ? undefined : name;
};
