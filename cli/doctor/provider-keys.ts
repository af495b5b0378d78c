// Which providers agent files use, and a cheap question to each that says whether it takes a key.

export interface Provider {
  readonly name: string;
  /** The variable that holds its key, and the one that may hold another address. */
  readonly key: string;
  readonly base: string;
  readonly defaultBase: string;
  /** What an agent file has in it that uses the provider. */
  readonly mark: RegExp;
  /** A question that costs nothing. */
  readonly path: string;
  readonly headers: (key: string) => Record<string, string>;
}

export type KeyAnswer =
  | { readonly kind: "taken" }
  | { readonly kind: "refused" | "odd"; readonly status: number }
  | { readonly kind: "unreachable"; readonly reason: string };

export interface KeyFacts {
  readonly name: string;
  readonly provider: string;
  readonly usedBy: readonly string[];
  readonly isSet: boolean;
  /** Absent when it wasn't tried. */
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

/** Those that a file names, by its text, and those that profiles are given to by setting (GREENROOM_PROVIDERS). */
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

/** @throws Error when nothing answers */
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
  if (response.ok) return { kind: "taken" };
  const isRefusal = response.status === 401 || response.status === 403;
  return { kind: isRefusal ? "refused" : "odd", status: response.status };
}

/** Deepgram's plugin is given the address of its WebSocket, as wss://api.deepgram.com/v1/listen. */
const httpBase = (base: string): string =>
  base
    .replace(/^ws/, "http")
    .replace(/\/listen\/?$/, "")
    .replace(/\/$/, "");
