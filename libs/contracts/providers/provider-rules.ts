// Which profiles are served by whom: the setting GREENROOM_PROVIDERS, read and looked up.
import { ProfileName } from "../ids.ts";
import { ProviderName } from "./provider.ts";

interface ProviderRule {
  readonly profile: string;
  readonly provider: ProviderName;
  /** The provider's own name for the profile, as of an agent or an assistant. */
  readonly name: string;
}

export type ProviderRules = readonly ProviderRule[];

/** What the setting says of itself in the documents. */
export const PROVIDERS_DESCRIPTION =
  "Providers of profiles, for example support=livekit:support-agent, legacy=webhook. The form is profile=provider, optionally with a colon and the provider's own name for the profile. A profile may have several providers; the first one is the default.";

/**
 * Reads GREENROOM_PROVIDERS. White space and an empty text are fine.
 * @throws Error in words, when it can't be read
 */
export function parseProviderRules(text: string): ProviderRules {
  const rules: ProviderRule[] = [];
  for (const part of text.split(",").map((each) => each.trim())) {
    if (part === "") continue;
    const rule = parseRule(part);
    if (rules.some(({ profile, provider }) => profile === rule.profile && provider === rule.provider))
      throw new Error(`"${rule.profile}" is given to ${rule.provider} twice`);
    rules.push(rule);
  }
  return rules;
}

function parseRule(part: string): ProviderRule {
  const [, profile = "", provider = "", name] =
    /^([^=\s]+)\s*=\s*([^:\s]+)(?:\s*:\s*(.+))?$/.exec(part) ?? [];
  if (profile === "")
    throw new Error(`"${part}" is not of the form profile=provider or profile=provider:name`);
  const known = ProfileName.safeParse(profile);
  if (!known.success) throw new Error(`"${profile}": ${known.error.issues[0]?.message}`);
  const one = ProviderName.safeParse(provider);
  if (!one.success)
    throw new Error(`"${provider}" is no provider; there are ${ProviderName.options.join(", ")}`);
  return { profile, provider: one.data, name: name ?? profile };
}

/** The provider of a profile: the one that is asked for, else the first that is named for it, else the pool. */
export const providerOf = (
  rules: ProviderRules,
  profile: string,
  asked: ProviderName | undefined,
): ProviderName => asked ?? rules.find((rule) => rule.profile === profile)?.provider ?? "pool";

/** A provider's own name for a profile; the profile's where no rule says another. */
export const nameWith = (rules: ProviderRules, provider: ProviderName, profile: string): string =>
  rules.find((rule) => rule.profile === profile && rule.provider === provider)?.name ?? profile;
