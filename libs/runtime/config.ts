// Reads settings from the environment: validated once at the start, then frozen.
import { readFileSync } from "node:fs";
import { closest } from "fastest-levenshtein";
import { z } from "zod";
import { assetFile } from "./compiled.ts";
import { renamedSettings } from "./renamed-settings.ts";

/** One variable. Its schema accepts a string or undefined; the description appears in the documents. */
export interface Setting<T = unknown> {
  readonly schema: z.ZodType<T>;
  readonly description: string;
  readonly default: string | undefined;
  readonly secret?: boolean;
  /** Whether an empty value counts as a value. Otherwise it means the default. */
  readonly mayBeEmpty?: boolean;
}

export type Settings = Readonly<Record<string, Setting>>;

export type ConfigOf<S extends Settings> = Readonly<{
  [K in keyof S]: S[K] extends Setting<infer T> ? T : never;
}>;

/** Every GREENROOM_* name of any program; `npm run docs` writes the file. */
export const allSettingNames: readonly string[] = JSON.parse(
  readFileSync(assetFile("libs/runtime/setting-names.json"), "utf8"),
);

/** Invalid settings. The message lists every fault, one per line. */
export class ConfigError extends Error {
  constructor(faults: readonly string[]) {
    super(`Invalid settings:\n${faults.map((fault) => `  ${fault}`).join("\n")}`);
    this.name = "ConfigError";
  }
}

const documented = (description: string, fallback?: string) => ({ description, default: fallback });

export const setting = {
  text: (description: string, fallback?: string): Setting<string> => ({
    schema: fallback === undefined ? z.string().min(1) : z.string().min(1).default(fallback),
    ...documented(description, fallback),
  }),
  optionalText: (description: string): Setting<string | undefined> => ({
    schema: z
      .string()
      .optional()
      .transform((value) => (value === "" ? undefined : value)) as z.ZodType<string | undefined>,
    ...documented(description),
  }),
  /** A text that may be empty. */
  sentence: (description: string, fallback: string): Setting<string> => ({
    schema: z.string().max(500).default(fallback),
    mayBeEmpty: true,
    ...documented(description, fallback),
  }),
  secret: (description: string): Setting<string | undefined> => ({
    ...setting.optionalText(description),
    secret: true,
  }),
  /** An integer. `min` excludes values that would stop the service. */
  integer: (
    description: string,
    fallback: number,
    min = 0,
    max = Number.MAX_SAFE_INTEGER,
  ): Setting<number> => ({
    schema: z.coerce.number().int().min(min).max(max).default(fallback) as z.ZodType<number>,
    ...documented(description, String(fallback)),
  }),
  optionalPort: (description: string): Setting<number | undefined> => ({
    schema: z.coerce.number().int().min(0).max(65_535).optional() as z.ZodType<number | undefined>,
    ...documented(description),
  }),
  /** One of a few integers. */
  numberOf: (description: string, values: readonly number[], fallback: number): Setting<number> => ({
    schema: z.coerce
      .number()
      .refine((value) => values.includes(value), `must be one of ${values.join(", ")}`)
      .default(fallback) as z.ZodType<number>,
    ...documented(`${description} One of ${values.join(", ")}.`, String(fallback)),
  }),
  flag: (description: string, fallback = false): Setting<boolean> => ({
    schema: z
      .enum(["true", "false", "1", "0"])
      .optional()
      .transform((value) =>
        value === undefined ? fallback : value === "true" || value === "1",
      ) as z.ZodType<boolean>,
    ...documented(description, String(fallback)),
  }),
  /** A text with its own syntax. @param parse throws an Error that describes the fault */
  parsed: <T>(description: string, parse: (text: string) => T, fallback = ""): Setting<T> => ({
    schema: z
      .string()
      .default(fallback)
      .transform((text, context) => {
        try {
          return parse(text);
        } catch (error) {
          context.addIssue({
            code: "custom",
            message: error instanceof Error ? error.message : String(error),
          });
          return z.NEVER;
        }
      }) as unknown as z.ZodType<T>,
    ...documented(description, fallback === "" ? undefined : fallback),
  }),
  choice: <T extends string>(description: string, values: readonly [T, ...T[]], fallback: T): Setting<T> => ({
    schema: z.enum(values).default(fallback as never) as unknown as z.ZodType<T>,
    ...documented(`${description} One of ${values.join(", ")}.`, fallback),
  }),
};

/** The fault of a name that is not known. It names the successor of a renamed one, or else the nearest known name. */
export const unknownName = (
  name: string,
  kind: string,
  known: readonly string[],
  successor?: string,
): string =>
  successor === undefined
    ? `${name} is not a ${kind}. Did you mean ${closest(name, known)}?`
    : `${name} was renamed to ${successor}.`;

/**
 * Reads one service's settings.
 *
 * @param known the accepted GREENROOM_* names. The environment is shared, so the names of other services are accepted
 *   too. An unknown name is a typo that would otherwise be ignored silently.
 * @throws ConfigError with every fault, and the nearest known name for an unknown one
 */
export function readConfig<S extends Settings>(
  settings: S,
  env: Readonly<Record<string, string | undefined>>,
  known: Iterable<string> = allSettingNames,
): ConfigOf<S> {
  const names = new Set([...known, ...Object.keys(settings)]);
  const faults: string[] = [];
  for (const name of Object.keys(env)) {
    if (!name.startsWith("GREENROOM_") || names.has(name)) continue;
    faults.push(unknownName(name, "setting", [...names], renamedSettings[name]));
  }
  const config: Record<string, unknown> = {};
  for (const [name, { schema, mayBeEmpty }] of Object.entries(settings)) {
    const parsed = schema.safeParse(env[name] === "" && mayBeEmpty !== true ? undefined : env[name]);
    if (parsed.success) config[name] = parsed.data;
    else faults.push(`${name}: ${parsed.error.issues.map((issue) => issue.message).join("; ")}`);
  }
  if (faults.length > 0) throw new ConfigError(faults);
  return Object.freeze(config) as ConfigOf<S>;
}
