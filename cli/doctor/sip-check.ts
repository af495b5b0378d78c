// Checks telephone calls by LiveKit SIP: whether each outbound trunk that settings name is one of LiveKit's.
import { messageOf } from "../../libs/contracts/errors.ts";
import { type ProviderRules, parseProviderRules } from "../../libs/contracts/providers/provider-rules.ts";
import { requireLiveKit } from "../../libs/livekit/connect.ts";
import { outboundTrunks } from "../../libs/livekit/sip-calls.ts";
import { givenName } from "../../services/providers/call-settings.ts";
import { check, type Finding, failure, ok, skipped, warning } from "./check.ts";
import type { Sources } from "./sources.ts";

export interface SipSeen {
  /** Those that calls go out on, with who calls by them: profiles, or the setting itself. */
  readonly trunks: readonly { readonly id: string; readonly usedBy: readonly string[] }[];
  /** Profiles that are to call and have none. */
  readonly without: readonly string[];
  /** What LiveKit has; absent when nothing was asked. */
  readonly known?: readonly string[];
  /** Why LiveKit could not tell. */
  readonly refusal?: string;
}

export const sipCheck = check({
  name: "sip",
  title: "telephone calls",
  timeoutMs: 10_000,
  needs: ["livekit"],
  todo: "See that LiveKit has SIP: it needs Redis and a livekit-sip, or is LiveKit Cloud.",
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
        `Nobody can be called for ${profile}: it calls by LiveKit SIP, and no trunk is set.`,
        `Set ${TRUNK}, or name one in GREENROOM_PROVIDERS as ${profile}=sip:ST_….`,
      ),
    );
    if (trunks.length === 0) return lacking.length > 0 ? lacking : [skipped("No setting names a SIP trunk.")];
    if (known === undefined)
      return [...lacking, failure(`LiveKit can't tell its SIP trunks: ${refusal}.`, sipCheck.todo)];
    return [...lacking, ...trunks.map(({ id, usedBy }) => trunkFinding(id, usedBy.join(", "), known))];
  },
});

const TRUNK = "GREENROOM_SIP_TRUNK";

function trunkFinding(id: string, whom: string, known: readonly string[]): Finding {
  if (known.includes(id)) return ok(`LiveKit has the outbound trunk ${id} (for ${whom}).`);
  const others = known.length === 0 ? "It has none." : `It has ${known.join(", ")}.`;
  return warning(
    `LiveKit has no outbound trunk ${id} (for ${whom}). ${others}`,
    "Make it with `lk sip outbound create`, or set the id of one that there is; calls fail until then.",
  );
}

/** One that can't be read is told by the check of the settings. */
function rulesIn(env: Readonly<Record<string, string | undefined>>): ProviderRules {
  try {
    return parseProviderRules(env.GREENROOM_PROVIDERS ?? "");
  } catch {
    return [];
  }
}

/** @param common the trunk of whoever has none of its own */
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
