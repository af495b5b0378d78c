// Reads compose.yaml like `docker compose` does, with the variables of an .env file.
import { parse } from "yaml";

interface ComposeService {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly command?: readonly string[];
  readonly profiles?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly stop_grace_period?: string;
  readonly restart?: string;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

export interface Compose {
  readonly services: Readonly<Record<string, ComposeService>>;
}

/** @throws Error with Compose's own text when a required variable has no value */
export function readCompose(text: string, env: Readonly<Record<string, string>>): Compose {
  return interpolated(parse(text, { merge: true }), env) as Compose;
}

function interpolated(value: unknown, env: Readonly<Record<string, string>>): unknown {
  if (typeof value === "string") return interpolate(value, env);
  if (Array.isArray(value)) return value.map((one) => interpolated(one, env));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, interpolated(one, env)]));
}

/** Resolves `${NAME:-default}` (whose default may contain another variable), `${NAME:?message}` and `${NAME:+instead}`. */
function interpolate(text: string, env: Readonly<Record<string, string>>): string {
  const begin = text.indexOf("${");
  if (begin < 0) return text;
  const end = endOf(text, begin + 2);
  const [, name = "", kind, rest = ""] = /^(\w+)(?::([-?+])(.*))?$/s.exec(text.slice(begin + 2, end)) ?? [];
  if (name === "") throw new Error(`cannot parse ${text}`);
  const given = env[name] || undefined;
  if (given === undefined && kind === "?")
    throw new Error(`required variable ${name} is missing a value: ${rest}`);
  const instead = kind === "+" && given !== undefined ? rest : given;
  const value = instead ?? (kind === "-" ? interpolate(rest, env) : "");
  return text.slice(0, begin) + value + interpolate(text.slice(end + 1), env);
}

function endOf(text: string, from: number): number {
  let depth = 1;
  for (let at = from; at < text.length; at++) {
    if (text.startsWith("${", at)) depth += 1;
    else if (text[at] === "}") depth -= 1;
    if (depth === 0) return at;
  }
  throw new Error(`missing closing brace in ${text}`);
}

export interface EnvLine {
  readonly name: string;
  readonly value: string;
  /** True for a line behind a `#`, which only shows the variable. */
  readonly isComment: boolean;
}

export const readEnvFile = (text: string): EnvLine[] =>
  [...text.matchAll(/^(#?)([A-Z][A-Z0-9_]*)=(.*)$/gm)].map(([, mark, name = "", value = ""]) => ({
    name,
    value,
    isComment: mark === "#",
  }));

/** Converts `11m`, `1m30s` or `20s` to ms. */
export function durationMs(text: string): number {
  const parts = [...text.matchAll(/(\d+)(h|m|s)/g)];
  if (parts.map(([whole]) => whole).join("") !== text) throw new Error(`${text} is not a duration`);
  const unitMs = { h: 3_600_000, m: 60_000, s: 1000 };
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitMs[unit as "h" | "m" | "s"], 0);
}
