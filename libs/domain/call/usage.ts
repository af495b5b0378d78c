// Adds up the usage of the agents of one call.
import {
  type AgentUsage,
  MODELS_MAX,
  type ModelUsage,
  TOOLS_MAX,
  type ToolUse,
} from "../../contracts/calls/call.ts";
import { mergeHistograms } from "./histogram.ts";

const OTHER = "other";

/** The usage of several agents; undefined when no agent reported any. */
export function mergeUsage(all: readonly (AgentUsage | undefined)[]): AgentUsage | undefined {
  const present = all.filter((usage) => usage !== undefined);
  if (present.length === 0) return undefined;
  const sum = (of: (usage: AgentUsage) => number) => present.reduce((total, usage) => total + of(usage), 0);
  const histograms = Object.fromEntries(
    (["response", "llm", "stt", "tts", "endOfTurn"] as const).flatMap((name) => {
      const merged = mergeHistograms(present.map((usage) => usage[name]));
      return merged === undefined ? [] : [[name, merged]];
    }),
  );
  const hasVad = present.some(({ vad }) => vad !== undefined);
  const vad = {
    inferences: sum((one) => one.vad?.inferences ?? 0),
    totalMs: sum((one) => one.vad?.totalMs ?? 0),
  };
  return {
    ...histograms,
    ...(hasVad ? { vad } : {}),
    tools: sumTools(present.flatMap(({ tools }) => tools)),
    usage: sumUsage(present.flatMap(({ usage }) => usage)),
    userTurns: sum((one) => one.userTurns),
    agentTurns: sum((one) => one.agentTurns),
    interruptions: sum((one) => one.interruptions),
    errors: sum((one) => one.errors),
  };
}

/** Uses by tool, sorted by name. Tools beyond the limit are added up as one. */
export function sumTools(uses: readonly ToolUse[]): ToolUse[] {
  const byName = new Map<string, ToolUse>();
  for (const use of uses) {
    // The sum of the other tools does not count against the limit.
    const named = byName.size - (byName.has(OTHER) ? 1 : 0);
    const name = byName.has(use.name) || use.name === OTHER || named < TOOLS_MAX ? use.name : OTHER;
    const before = byName.get(name) ?? { name, calls: 0, errors: 0, totalMs: 0, maxMs: 0 };
    byName.set(name, {
      name,
      calls: before.calls + use.calls,
      errors: before.errors + use.errors,
      totalMs: before.totalMs + use.totalMs,
      maxMs: Math.max(before.maxMs, use.maxMs),
    });
  }
  return [...byName.values()].sort((a, b) => compareText(a.name, b.name));
}

const amounts = [
  "inputTokens",
  "inputCachedTokens",
  "inputAudioTokens",
  "outputTokens",
  "outputAudioTokens",
  "characters",
  "audioMs",
  "requests",
] as const;

const isOther = ({ provider, model }: ModelUsage): boolean => provider === OTHER && model === OTHER;
const nameOf = ({ kind, provider, model }: ModelUsage): string => `${kind} ${provider} ${model}`;

/** Usage by model, sorted by name. Amounts of 0 are omitted. */
export function sumUsage(usages: readonly ModelUsage[]): ModelUsage[] {
  const byModel = new Map<string, ModelUsage>();
  for (const usage of usages) {
    const named = [...byModel.values()].filter((one) => !isOther(one)).length;
    const isKnown = byModel.has(nameOf(usage)) || isOther(usage) || named < MODELS_MAX;
    const of = isKnown ? usage : { ...usage, provider: OTHER, model: OTHER };
    const before = byModel.get(nameOf(of)) ?? { kind: of.kind, provider: of.provider, model: of.model };
    const summed: ModelUsage = { ...before };
    for (const amount of amounts) {
      const both = (before[amount] ?? 0) + (usage[amount] ?? 0);
      if (both > 0) summed[amount] = both;
    }
    byModel.set(nameOf(of), summed);
  }
  return [...byModel.values()].sort((a, b) => compareText(nameOf(a), nameOf(b)));
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
