// Settings come from the environment alone, are checked once at the start, and are frozen.
import { closest } from "fastest-levenshtein";
import { z } from "zod";
import { renamedSettings } from "./renamed-settings.ts";

/** One variable: its schema, which must take a string or nothing, and a sentence for the docs. */
export interface Setting<T = unknown> {
  readonly schema: z.ZodType<T>;
  readonly description: string;
  readonly default: string | undefined;
  readonly secret?: boolean;
  /** Set to nothing it is nothing, and not the default. */
  readonly mayBeEmpty?: boolean;
}

export type Settings = Readonly<Record<string, Setting>>;

export type ConfigOf<S extends Settings> = Readonly<{
  [K in keyof S]: S[K] extends Setting<infer T> ? T : never;
}>;

/** Thrown for settings that can't be used; its message lists every fault, one a line. */
export class ConfigError extends Error {
  constructor(faults: readonly string[]) {
    super(`The settings can't be used:\n${faults.map((fault) => `  ${fault}`).join("\n")}`);
    this.name = "ConfigError";
  }
}

const given = (description: string, fallback?: string) => ({ description, default: fallback });

export const setting = {
  text: (description: string, fallback?: string): Setting<string> => ({
    schema: fallback === undefined ? z.string().min(1) : z.string().min(1).default(fallback),
    ...given(description, fallback),
  }),
  optionalText: (description: string): Setting<string | undefined> => ({
    schema: z
      .string()
      .optional()
      .transform((value) => (value === "" ? undefined : value)) as z.ZodType<string | undefined>,
    ...given(description),
  }),
  /** A text that may also be set to nothing. */
  sentence: (description: string, fallback: string): Setting<string> => ({
    schema: z.string().max(500).default(fallback),
    mayBeEmpty: true,
    ...given(description, fallback),
  }),
  secret: (description: string): Setting<string | undefined> => ({
    ...setting.optionalText(description),
    secret: true,
  }),
  /** A whole number; `min` guards against settings that would stop the service. */
  integer: (
    description: string,
    fallback: number,
    min = 0,
    max = Number.MAX_SAFE_INTEGER,
  ): Setting<number> => ({
    schema: z.coerce.number().int().min(min).max(max).default(fallback) as z.ZodType<number>,
    ...given(description, String(fallback)),
  }),
  /** One of a few whole numbers. */
  numberOf: (description: string, values: readonly number[], fallback: number): Setting<number> => ({
    schema: z.coerce
      .number()
      .refine((value) => values.includes(value), `must be one of ${values.join(", ")}`)
      .default(fallback) as z.ZodType<number>,
    ...given(`${description} One of ${values.join(", ")}.`, String(fallback)),
  }),
  flag: (description: string, fallback = false): Setting<boolean> => ({
    schema: z
      .enum(["true", "false", "1", "0"])
      .optional()
      .transform((value) =>
        value === undefined ? fallback : value === "true" || value === "1",
      ) as z.ZodType<boolean>,
    ...given(description, String(fallback)),
  }),
  /** A text that has a form of its own. @param parse throws in words what it can't read */
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
    ...given(description, fallback === "" ? undefined : fallback),
  }),
  choice: <T extends string>(description: string, values: readonly [T, ...T[]], fallback: T): Setting<T> => ({
    schema: z.enum(values).default(fallback as never) as unknown as z.ZodType<T>,
    ...given(`${description} One of ${values.join(", ")}.`, fallback),
  }),
};

/**
 * Reads one service's settings.
 *
 * @param known every GREENROOM_* name of any service: the environment is shared, so a name that is another
 *   service's is fine, and one that is nobody's is a typing error that would otherwise go unnoticed.
 * @throws ConfigError naming every fault at once, with the nearest known name for an unknown one.
 */
export function readConfig<S extends Settings>(
  settings: S,
  env: Readonly<Record<string, string | undefined>>,
  known: Iterable<string>,
): ConfigOf<S> {
  const names = new Set([...known, ...Object.keys(settings)]);
  const faults: string[] = [];
  for (const name of Object.keys(env)) {
    if (!name.startsWith("GREENROOM_") || names.has(name)) continue;
    const successor = renamedSettings[name];
    faults.push(
      successor === undefined
        ? `${name} is not a setting. Did you mean ${closest(name, [...names])}?`
        : `${name} was renamed to ${successor}.`,
    );
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
