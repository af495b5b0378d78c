// The setting GREENROOM_PROVIDERS: which providers serve which profiles.
import { ProfileName } from "../ids.ts";
import { ProviderName } from "./provider.ts";

interface ProviderRule {
  readonly profile: string;
  readonly provider: ProviderName;
  /** The provider's own name for the profile, for example of an agent or an assistant. */
  readonly name: string;
}

export type ProviderRules = readonly ProviderRule[];

/** The setting's description in the documents. */
export const PROVIDERS_DESCRIPTION =
  "Providers of profiles, for example support=livekit:support-agent, legacy=webhook. The form is profile=provider, optionally with a colon and the provider's own name for the profile. A profile may have several providers; the first one is the default.";

/**
 * Parses GREENROOM_PROVIDERS. Ignores white space and empty entries.
 * @throws Error that names the invalid entry
 */
export function parseProviderRules(text: string): ProviderRules {
  const rules: ProviderRule[] = [];
  for (const part of text.split(",").map((each) => each.trim())) {
    if (part === "") continue;
    const rule = parseRule(part);
    if (rules.some(({ profile, provider }) => profile === rule.profile && provider === rule.provider))
      throw new Error(`"${rule.profile}" has the provider ${rule.provider} twice`);
    rules.push(rule);
  }
  return rules;
}

function parseRule(part: string): ProviderRule {
  const [, profile = "", provider = "", name] =
    /^([^=\s]+)\s*=\s*([^:\s]+)(?:\s*:\s*(.+))?$/.exec(part) ?? [];
  if (profile === "")
    throw new Error(`"${part}" does not have the form profile=provider or profile=provider:name`);
  const known = ProfileName.safeParse(profile);
  if (!known.success) throw new Error(`"${profile}": ${known.error.issues[0]?.message}`);
  const knownProvider = ProviderName.safeParse(provider);
  if (!knownProvider.success)
    throw new Error(`"${provider}" is not a provider; use one of ${ProviderName.options.join(", ")}`);
  return { profile, provider: knownProvider.data, name: name ?? profile };
}

/** The provider of a profile: the requested one, else the profile's first one in the setting, else the pool. */
export const providerOf = (
  rules: ProviderRules,
  profile: string,
  requested: ProviderName | undefined,
): ProviderName => requested ?? rules.find((rule) => rule.profile === profile)?.provider ?? "pool";

/** The provider's name for the profile, by default the profile's own name. */
export const nameWith = (rules: ProviderRules, provider: ProviderName, profile: string): string =>
  rules.find((rule) => rule.profile === profile && rule.provider === provider)?.name ?? profile;
