// Model providers and their keys: finds out which ones agent files use, and tests a key with a cheap request.

export interface Provider {
  readonly name: string;
  /** The variables with the provider's key and with an alternative base URL. */
  readonly key: string;
  readonly base: string;
  readonly defaultBase: string;
  /** Matches the text of agent files that use the provider. */
  readonly mark: RegExp;
  /** The path of a request that costs nothing. */
  readonly path: string;
  readonly headers: (key: string) => Record<string, string>;
}

export type KeyAnswer =
  | { readonly kind: "accepted" }
  | { readonly kind: "rejected" | "unexpected"; readonly status: number }
  | { readonly kind: "unreachable"; readonly reason: string };

export interface KeyFacts {
  readonly name: string;
  readonly provider: string;
  readonly usedBy: readonly string[];
  /** Whether sessions of the last 90 days had one of these profiles. Absent: unknown. */
  readonly isUsed?: boolean;
  readonly isSet: boolean;
  /** Absent if the key was not tested. */
  readonly answer: KeyAnswer | undefined;
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

export const providers: readonly Provider[] = [
  {
    name: "OpenAI",
    key: "OPENAI_API_KEY",
    base: "OPENAI_BASE_URL",
    defaultBase: "https://api.openai.com/v1",
    mark: /agents-plugin-openai|\bOPENAI_API_KEY\b/,
    path: "/models",
    headers: bearer,
  },
  {
    name: "Deepgram",
    key: "DEEPGRAM_API_KEY",
    base: "DEEPGRAM_BASE_URL",
    defaultBase: "https://api.deepgram.com/v1",
    mark: /agents-plugin-deepgram|\bDEEPGRAM_API_KEY\b/,
    path: "/projects",
    headers: (key) => ({ authorization: `Token ${key}` }),
  },
  {
    name: "VAPI",
    key: "GREENROOM_VAPI_KEY",
    base: "GREENROOM_VAPI_URL",
    defaultBase: "https://api.vapi.ai",
    mark: /\bGREENROOM_VAPI_KEY\b/,
    path: "/assistant?limit=1",
    headers: bearer,
  },
];

const TRY_MS = 10_000;

/** Providers by the texts of agent files, and by GREENROOM_PROVIDERS. */
export function providersIn(
  files: readonly { readonly profile: string; readonly text: string }[],
  env: Readonly<Record<string, string | undefined>>,
): { provider: Provider; usedBy: string[] }[] {
  return providers.flatMap((provider) => {
    const usedBy = files.filter(({ text }) => provider.mark.test(text)).map(({ profile }) => profile);
    for (const rule of (env.GREENROOM_PROVIDERS ?? "").split(",")) {
      const [profile, name] = rule.split("=").map((part) => part.trim());
      if (profile && name?.split(":")[0] === provider.name.toLowerCase()) usedBy.push(profile);
    }
    return usedBy.length === 0 ? [] : [{ provider, usedBy }];
  });
}

/** @throws Error if the provider does not answer */
export async function tryKey(
  provider: Provider,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<KeyAnswer> {
  const response = await fetch(httpBase(env[provider.base] || provider.defaultBase) + provider.path, {
    headers: provider.headers(env[provider.key] ?? ""),
    signal: AbortSignal.any([signal, AbortSignal.timeout(TRY_MS)]),
  });
  await response.body?.cancel();
  if (response.ok) return { kind: "accepted" };
  const isRejected = response.status === 401 || response.status === 403;
  return { kind: isRejected ? "rejected" : "unexpected", status: response.status };
}

/** Deepgram's plugin uses the address of its WebSocket, for example wss://api.deepgram.com/v1/listen. */
const httpBase = (base: string): string =>
  base
    .replace(/^ws/, "http")
    .replace(/\/listen\/?$/, "")
    .replace(/\/$/, "");
