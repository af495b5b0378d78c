// Keeps the key figures of each day true to the call records, which they are made of anew at each change.
import { type Bus, getOwn } from "../../libs/bus/bus.ts";
import { dailyKpis } from "../../libs/contracts/buckets.ts";
import { type CallRecord, dayOf } from "../../libs/contracts/calls/call.ts";
import { type DailyKpi, kpiKey } from "../../libs/contracts/calls/kpi.ts";
import { sessionKey } from "../../libs/contracts/ids.ts";
import { calls } from "../../libs/contracts/streams.ts";
import { DailyKpis } from "../../libs/domain/call/build-kpis.ts";
import { type Clock, repeat } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";

export interface KpiWriterDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: {
    readonly intervalMs: number;
    readonly lookbackDays: number;
  };
}

const PAGE = 1000;
const LOOK_OVER_MS = 60 * 60 * 1000;
const DAY_MS = 24 * 60 * 60 * 1000;
/** A day with very many calls takes a while to go through: it is done less often, so that this takes no more time. */
const SHARE_OF_TIME = 0.1;
const TRIES = 3;

interface Day {
  readonly tenant: string;
  readonly day: string;
}

/** Makes the figures of days that changed again, now and then; several instances come to the same. */
export class KpiWriter {
  readonly #deps: KpiWriterDeps;
  readonly #changed = new Map<string, Day>();
  #restUntilMs = Number.NEGATIVE_INFINITY;
  #lookedOverAtMs = Number.NEGATIVE_INFINITY;
  /** How long it took the last time. */
  #tookMs = 0;

  constructor(deps: KpiWriterDeps) {
    this.#deps = deps;
  }

  /** @returns how to stop */
  start(): () => void {
    const { clock, log, settings } = this.#deps;
    return repeat(
      clock,
      settings.intervalMs,
      () => this.refresh(),
      (error) => log.warn({ error }, "the key figures could not be brought up to date; it is tried again"),
    );
  }

  /** A call was stored. */
  note({ tenant, endedAt }: CallRecord): void {
    const day = dayOf(endedAt);
    if (this.#isInLookback(day)) this.#changed.set(`${tenant}.${day}`, { tenant, day });
  }

  /** Makes what changed; each hour also what others may have left, as one that died before it came to it. */
  async refresh(): Promise<void> {
    const { clock } = this.#deps;
    const began = clock.monotonic();
    if (began < this.#restUntilMs) return;
    for (const [key, day] of [...this.#changed]) {
      this.#changed.delete(key);
      try {
        await this.make(day);
      } catch (error) {
        this.#changed.set(key, day);
        throw error;
      }
    }
    if (began - this.#lookedOverAtMs >= LOOK_OVER_MS) {
      for (const day of this.#lookback()) await this.make({ tenant: "*", day });
      this.#lookedOverAtMs = began;
    }
    const tookMs = clock.monotonic() - began;
    // Of two in a row the shorter: one that waited for NATS says nothing about how much there is to do.
    const workMs = Math.min(tookMs, this.#tookMs);
    this.#tookMs = tookMs;
    this.#restUntilMs = clock.monotonic() + workMs * (1 / SHARE_OF_TIME - 1);
  }

  /**
   * Makes the figures of one day from its call records, and stores those that differ.
   *
   * What stands there is read before the records are, and is only replaced if it still stands there afterwards: so
   * nobody who read the records earlier can put back older figures.
   *
   * @param of its tenant may be `*`
   * @param options.prune removes figures of which no call is left, as after an erasure
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
    // Others write the same days; what they miss is made at the next change, or when all is looked over.
    this.#deps.log.debug({ ...of }, "the figures of a day were written by others meanwhile");
  }

  /** Figures that don't agree with the call records they were made of, by their keys. */
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

  /** @returns false when somebody else was faster */
  async #store(kpi: DailyKpi, before: Map<string, { value: DailyKpi; revision: number }>): Promise<boolean> {
    const { bus } = this.#deps;
    const key = dailyKpis.keyOf(kpi);
    const entry = before.get(key);
    if (textOf(entry?.value) === textOf(kpi)) return true;
    if ((await bus.kv.update(dailyKpis, kpi, entry?.revision ?? 0)) !== undefined) return true;
    // What nobody can read isn't among those that are listed, and is written over.
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

  /** Days to come too: who ended the call may have another clock. */
  #isInLookback(day: string): boolean {
    return day >= this.#dayAgo(this.#deps.settings.lookbackDays - 1);
  }
}

/**
 * From the records, a page at a time: but for the ids it takes no more memory for more calls.
 *
 * @returns isBehind: a call was recorded again while it was read. It is counted once, as it was before.
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

/** As text, in which the order of the fields is that of the schema on both sides. */
const textOf = (kpi: DailyKpi | undefined): string =>
  kpi === undefined ? "" : JSON.stringify(dailyKpis.schema.parse(kpi));
