// Checks phone calls through LiveKit SIP: whether LiveKit has each outbound trunk that the settings name.
import { messageOf } from "../../libs/contracts/errors.ts";
import { type ProviderRules, parseProviderRules } from "../../libs/contracts/providers/provider-rules.ts";
import { requireLiveKit } from "../../libs/livekit/connect.ts";
import { outboundTrunks } from "../../libs/livekit/sip-calls.ts";
import { givenName } from "../../services/providers/call-settings.ts";
import { check, type Finding, failure, ok, skipped, warning } from "./check.ts";
import type { Sources } from "./sources.ts";

export interface SipSeen {
  /** The configured trunks, with the profiles or the setting that use them. */
  readonly trunks: readonly { readonly id: string; readonly usedBy: readonly string[] }[];
  /** Profiles with SIP calls but no trunk. */
  readonly without: readonly string[];
  /** LiveKit's trunks; absent if LiveKit was not asked. */
  readonly known?: readonly string[];
  /** Why LiveKit could not list its trunks. */
  readonly refusal?: string;
}

export const sipCheck = check({
  name: "sip",
  title: "phone calls",
  timeoutMs: 10_000,
  needs: ["livekit"],
  todo: "Check that LiveKit supports SIP: it needs Redis and livekit-sip, or must be LiveKit Cloud.",
  observe: async ({ env, livekit }: Sources): Promise<SipSeen> => {
    const wanted = trunksIn(rulesIn(env), env[TRUNK]);
    if (wanted.trunks.length === 0) return wanted;
    return await outboundTrunks(requireLiveKit(livekit)).then(
      (known) => ({ ...wanted, known }),
      (error: unknown) => ({ ...wanted, refusal: messageOf((error as Error).cause ?? error) }),
    );
  },
  judge({ trunks, without, known, refusal }: SipSeen): Finding[] {
    const lacking = without.map((profile) =>
      failure(
        `${profile} can't make calls: it uses LiveKit SIP, but no trunk is configured.`,
        `Set ${TRUNK}, or name one in GREENROOM_PROVIDERS as ${profile}=sip:ST_….`,
      ),
    );
    if (trunks.length === 0) return lacking.length > 0 ? lacking : [skipped("No setting names a SIP trunk.")];
    if (known === undefined)
      return [...lacking, failure(`LiveKit failed to list its SIP trunks: ${refusal}.`, sipCheck.todo)];
    return [...lacking, ...trunks.map(({ id, usedBy }) => trunkFinding(id, usedBy.join(", "), known))];
  },
});

const TRUNK = "GREENROOM_SIP_TRUNK";

function trunkFinding(id: string, users: string, known: readonly string[]): Finding {
  if (known.includes(id)) return ok(`LiveKit has the outbound trunk ${id} (for ${users}).`);
  const others = known.length === 0 ? "LiveKit has no trunks." : `Known: ${known.join(", ")}.`;
  return warning(
    `LiveKit has no outbound trunk ${id} (for ${users}). ${others}`,
    "Create it with `lk sip outbound create`, or use the id of an existing one. Until then, calls fail.",
  );
}

/** Invalid rules are reported by the check of the settings. */
export function rulesIn(env: Readonly<Record<string, string | undefined>>): ProviderRules {
  try {
    return parseProviderRules(env.GREENROOM_PROVIDERS ?? "");
  } catch {
    return [];
  }
}

/** @param common the trunk of profiles without their own */
export function trunksIn(
  rules: ProviderRules,
  common: string | undefined,
): Pick<SipSeen, "trunks" | "without"> {
  const usedBy = new Map<string, string[]>();
  const without: string[] = [];
  if (common) usedBy.set(common, [TRUNK]);
  for (const { profile } of rules.filter(({ provider }) => provider === "sip")) {
    const id = givenName(rules, "sip", profile) ?? (common || undefined);
    if (id === undefined) without.push(profile);
    else usedBy.set(id, [...(usedBy.get(id) ?? []), profile]);
  }
  return { trunks: [...usedBy].map(([id, names]) => ({ id, usedBy: names })), without };
}
