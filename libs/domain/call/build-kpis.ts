// Builds the key figures of each day from call records, in any order. Pure, so that they can be rebuilt.
import type { CallRecord } from "../../contracts/calls/call.ts";
import { dayOf } from "../../contracts/calls/call.ts";
import type { DailyKpi, KpiSums } from "../../contracts/calls/kpi.ts";
import { HistogramBuilder } from "./histogram.ts";

/** Adds up calls of one tenant, profile and day, or key figures of several. */
export class KpiBuilder {
  readonly #start = new HistogramBuilder();
  readonly #duration = new HistogramBuilder();
  readonly #response = new HistogramBuilder();
  readonly #counts = {
    calls: 0,
    answered: 0,
    completed: 0,
    warmHits: 0,
    gotAgent: 0,
    failovers: 0,
    callsWithFailover: 0,
    toolCalls: 0,
    toolErrors: 0,
    toolExecutionMs: 0,
    inputTokens: 0,
    outputTokens: 0,
  };
  readonly #outcomes: Record<string, number> = {};
  readonly #reasons: Record<string, number> = {};
  readonly #faults: Record<string, number> = {};

  add(call: CallRecord): void {
    const counts = this.#counts;
    const { metrics } = call;
    counts.calls += 1;
    counts.answered += call.answered ? 1 : 0;
    counts.completed += call.outcome === "completed" ? 1 : 0;
    counts.gotAgent += call.warm === undefined ? 0 : 1;
    counts.warmHits += call.warm === "warm" || call.warm === "hot" ? 1 : 0;
    counts.failovers += call.failovers;
    counts.callsWithFailover += call.failovers > 0 ? 1 : 0;
    counts.toolCalls += metrics.toolCalls;
    counts.toolErrors += metrics.toolErrors;
    // Whole milliseconds add up to the same in any order.
    counts.toolExecutionMs += Math.round(metrics.toolExecutionMs);
    counts.inputTokens += metrics.inputTokens;
    counts.outputTokens += metrics.outputTokens;
    countIn(this.#outcomes, call.outcome, 1);
    countIn(this.#reasons, call.endedReason, 1);
    countIn(this.#faults, call.fault, 1);
    if (call.startMs !== undefined) this.#start.add(call.startMs);
    if (call.answered) this.#duration.add(metrics.durationMs);
    if (metrics.response !== undefined) this.#response.add(metrics.response.p50Ms);
  }

  addAll(sums: KpiSums): void {
    const counts = this.#counts;
    for (const name of Object.keys(counts) as (keyof typeof counts)[]) counts[name] += sums[name];
    for (const [name, n] of Object.entries(sums.outcomes)) countIn(this.#outcomes, name, n);
    for (const [name, n] of Object.entries(sums.reasons)) countIn(this.#reasons, name, n);
    for (const [name, n] of Object.entries(sums.faults)) countIn(this.#faults, name, n);
    this.#start.addAll(sums.start);
    this.#duration.addAll(sums.duration);
    this.#response.addAll(sums.response);
  }

  /** Equal for the same calls in any order. */
  sums(): KpiSums {
    return {
      ...this.#counts,
      outcomes: sorted(this.#outcomes),
      reasons: sorted(this.#reasons),
      faults: sorted(this.#faults),
      start: this.#start.build(),
      duration: this.#duration.build(),
      response: this.#response.build(),
    };
  }
}

/** Adds up calls into the key figures of each tenant, day and profile that they belong to. */
export class DailyKpis {
  readonly #builders = new Map<
    string,
    { of: Pick<DailyKpi, "tenant" | "day" | "profile">; builder: KpiBuilder }
  >();

  add(call: CallRecord): void {
    const of = { tenant: call.tenant, day: dayOf(call.endedAt), profile: call.profile };
    const key = `${of.tenant}.${of.day}.${of.profile}`;
    let found = this.#builders.get(key);
    if (found === undefined) {
      found = { of, builder: new KpiBuilder() };
      this.#builders.set(key, found);
    }
    found.builder.add(call);
  }

  /** In the order of their keys. */
  all(): DailyKpi[] {
    return [...this.#builders]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { of, builder }]) => ({ v: 1, ...of, ...builder.sums() }));
  }
}

export function mergeKpis(all: readonly KpiSums[]): KpiSums {
  const builder = new KpiBuilder();
  for (const sums of all) builder.addAll(sums);
  return builder.sums();
}

const countIn = (counts: Record<string, number>, name: string, n: number | undefined): void => {
  counts[name] = (counts[name] ?? 0) + (n ?? 0);
};

const sorted = <T extends string>(counts: Record<string, number>): Partial<Record<T, number>> =>
  Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1))) as never;
