// Keeps the daily KPIs up to date: builds them from the call records again after each change.
import { type Bus, getOwn } from "../../libs/bus/bus.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { dailyKpis } from "../../libs/contracts/buckets.ts";
import { type CallRecord, dayOf } from "../../libs/contracts/calls/call.ts";
import { type DailyKpi, kpiKey } from "../../libs/contracts/calls/kpi.ts";
import { sessionKey } from "../../libs/contracts/ids.ts";
import { calls } from "../../libs/contracts/streams.ts";
import { DailyKpis } from "../../libs/domain/call/build-kpis.ts";
import { repeat } from "../../libs/runtime/clock.ts";

export interface KpiWriterDeps extends ServiceDeps {
  readonly settings: {
    readonly intervalMs: number;
    readonly lookbackDays: number;
  };
}

const PAGE = 1000;
const FULL_REFRESH_MS = 60 * 60 * 1000;
const DAY_MS = 24 * 60 * 60 * 1000;
/** The share of time for building KPIs. A day with many calls takes longer, and is therefore built less often. */
const SHARE_OF_TIME = 0.1;
const TRIES = 3;

interface Day {
  readonly tenant: string;
  readonly day: string;
}

/** Rebuilds the KPIs of changed days at an interval. Several instances produce the same result. */
export class KpiWriter {
  readonly #deps: KpiWriterDeps;
  readonly #changed = new Map<string, Day>();
  #pausedUntilMs = Number.NEGATIVE_INFINITY;
  #fullRefreshAtMs = Number.NEGATIVE_INFINITY;
  /** The duration of the last refresh. */
  #tookMs = 0;

  constructor(deps: KpiWriterDeps) {
    this.#deps = deps;
  }

  /** @returns a function that stops it */
  start(): () => void {
    const { clock, log, settings } = this.#deps;
    return repeat(
      clock,
      settings.intervalMs,
      () => this.refresh(),
      (error) => log.warn({ error, retrying: true }, "failed to refresh the KPIs"),
    );
  }

  /** A call was stored. */
  note({ tenant, endedAt }: CallRecord): void {
    const day = dayOf(endedAt);
    if (this.#isInLookback(day)) this.#changed.set(`${tenant}.${day}`, { tenant, day });
  }

  /** Rebuilds changed days, and every hour all days, since a dead instance may have left some. */
  async refresh(): Promise<void> {
    const { clock } = this.#deps;
    const began = clock.monotonic();
    if (began < this.#pausedUntilMs) return;
    for (const [key, day] of [...this.#changed]) {
      this.#changed.delete(key);
      try {
        await this.make(day);
      } catch (error) {
        this.#changed.set(key, day);
        throw error;
      }
    }
    if (began - this.#fullRefreshAtMs >= FULL_REFRESH_MS) {
      for (const day of this.#lookback()) await this.make({ tenant: "*", day });
      this.#fullRefreshAtMs = began;
    }
    const tookMs = clock.monotonic() - began;
    // The shorter of the last two: a refresh that waited for NATS does not reflect the amount of work.
    const workMs = Math.min(tookMs, this.#tookMs);
    this.#tookMs = tookMs;
    this.#pausedUntilMs = clock.monotonic() + workMs * (1 / SHARE_OF_TIME - 1);
  }

  /**
   * Builds the KPIs of one day from its call records, and stores those that differ.
   *
   * The stored KPIs are read before the call records and replaced by compare-and-set. An instance that has read older
   * call records can therefore not overwrite newer KPIs.
   *
   * @param of the tenant may be `*`
   * @param options.prune removes KPIs without calls, for example after an erasure
   */
  async make(of: Day, options: { readonly prune?: boolean } = {}): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      const before = await this.#stored(of);
      const { kpis, isBehind } = await kpisOfDay(this.#deps.bus, of);
      const saved = await Promise.all(kpis.map((kpi) => this.#store(kpi, before)));
      const removed = options.prune === true ? await this.#prune(kpis, before) : true;
      if (isBehind)
        for (const { tenant } of kpis) this.#changed.set(`${tenant}.${of.day}`, { ...of, tenant });
      if (removed && saved.every(Boolean)) return;
    }
    // Other instances write the same days. The next change or full refresh repairs what they miss.
    this.#deps.log.debug({ ...of }, "other instances wrote the KPIs of a day at the same time");
  }

  /** The keys of KPIs that disagree with the call records. */
  async check(of: Day): Promise<string[]> {
    const stored = await this.#stored(of);
    const { kpis } = await kpisOfDay(this.#deps.bus, of);
    const made = new Map(kpis.map((kpi) => [dailyKpis.keyOf(kpi), kpi]));
    const keys = new Set([...stored.keys(), ...made.keys()]);
    return [...keys].filter((key) => textOf(stored.get(key)?.value) !== textOf(made.get(key))).sort();
  }

  async #stored({ tenant, day }: Day) {
    const entries = await this.#deps.bus.kv.entries(dailyKpis, kpiKey(tenant, day, "*"));
    return new Map(entries.map((entry) => [entry.key, entry]));
  }

  /** @returns false when another instance was faster */
  async #store(kpi: DailyKpi, before: Map<string, { value: DailyKpi; revision: number }>): Promise<boolean> {
    const { bus } = this.#deps;
    const key = dailyKpis.keyOf(kpi);
    const entry = before.get(key);
    if (textOf(entry?.value) === textOf(kpi)) return true;
    if ((await bus.kv.update(dailyKpis, kpi, entry?.revision ?? 0)) !== undefined) return true;
    // An unreadable record is not listed, and is replaced.
    const own = await getOwn(bus, dailyKpis, key);
    return own.value === undefined && (await bus.kv.update(dailyKpis, kpi, own.revision)) !== undefined;
  }

  async #prune(
    made: readonly DailyKpi[],
    before: Map<string, { key: string; revision: number }>,
  ): Promise<boolean> {
    const kept = new Set(made.map(dailyKpis.keyOf));
    const gone = [...before.values()].filter(({ key }) => !kept.has(key));
    const removed = await Promise.all(
      gone.map(({ key, revision }) => this.#deps.bus.kv.delete(dailyKpis, key, revision)),
    );
    return removed.every(Boolean);
  }

  /** Today first. */
  #lookback(): string[] {
    return Array.from({ length: this.#deps.settings.lookbackDays }, (_, back) => this.#dayAgo(back));
  }

  #dayAgo(days: number): string {
    return dayOf(new Date(this.#deps.clock.now() - days * DAY_MS).toISOString());
  }

  /** Future days count too, since the clock that ended the call may be ahead. */
  #isInLookback(day: string): boolean {
    return day >= this.#dayAgo(this.#deps.settings.lookbackDays - 1);
  }
}

/**
 * Reads the call records page by page, and keeps only their ids in memory.
 *
 * @returns isBehind: a call was recorded again during the read, and its older version was counted
 */
async function kpisOfDay(
  bus: Bus,
  { tenant, day }: Day,
): Promise<{ readonly kpis: DailyKpi[]; readonly isBehind: boolean }> {
  const kpis = new DailyKpis();
  const counted = new Set<string>();
  let isBehind = false;
  const subject = `call.${tenant}.${day}.*`;
  for (let after = 0; ; ) {
    const page = await bus.streams.read(calls, { subject, from: after + 1, limit: PAGE });
    for (const { sequence, message } of page) {
      after = sequence;
      const key = sessionKey(message);
      if (counted.has(key)) isBehind = true;
      else kpis.add(message);
      counted.add(key);
    }
    if (page.length < PAGE) return { kpis: kpis.all(), isBehind };
  }
}

/** JSON in the field order of the schema. */
const textOf = (kpi: DailyKpi | undefined): string =>
  kpi === undefined ? "" : JSON.stringify(dailyKpis.schema.parse(kpi));
