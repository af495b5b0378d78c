// GET /api/kpis: the key figures of calls, for each day and in total.
import type { Entry } from "../../../libs/bus/bus.ts";
import { dailyKpis } from "../../../libs/contracts/buckets.ts";
import { type KpiFigures, KpisAnswer, KpisQuery } from "../../../libs/contracts/calls/http.ts";
import { type DailyKpi, type KpiSums, kpiKey } from "../../../libs/contracts/calls/kpi.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import { mergeKpis } from "../../../libs/domain/call/build-kpis.ts";
import { latencyOf } from "../../../libs/domain/call/histogram.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";
import { type CallRange, callRange, daysOf, withDashes } from "./call-range.ts";

const DEFAULT_DAYS = 30;
/** Up to this number, days are read one by one. For more days, all stored days are read at once. */
const DAYS_ONE_BY_ONE = 7;

export function kpisRoute(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/kpis",
    {
      schema: {
        summary: "Get the key figures of calls, for each day and in total",
        description:
          "Key figures follow the calls within about half a minute. Percentiles of several days are computed over all calls of these days.",
        tags: ["calls"],
        querystring: KpisQuery,
        response: { 200: KpisAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ query }) => {
      const range = callRange(query, gateway.clock.now(), DEFAULT_DAYS);
      const kpis = await kpisIn(gateway, range, query.profile);
      const by = (of: (kpi: DailyKpi) => string) =>
        [...grouped(kpis, of)].sort(([a], [b]) => (a < b ? -1 : 1));
      return {
        success: true as const,
        from: withDashes(range.firstDay),
        to: withDashes(range.lastDay),
        days: by(({ day }) => day).map(([day, some]) => ({
          day: withDashes(day),
          ...figuresOf(mergeKpis(some)),
        })),
        profiles: Object.fromEntries(
          by(({ profile }) => profile).map(([profile, some]) => [profile, figuresOf(mergeKpis(some))]),
        ),
        total: figuresOf(mergeKpis(kpis)),
      };
    },
  );
}

async function kpisIn({ bus, tenant }: Gateway, range: CallRange, profile = "*"): Promise<DailyKpi[]> {
  const days = daysOf(range);
  const requested = days.length <= DAYS_ONE_BY_ONE ? days : ["*"];
  const entries: Entry<DailyKpi>[][] = await Promise.all(
    requested.map((day) => bus.kv.entries(dailyKpis, kpiKey(tenant, day, profile))),
  );
  const wanted = new Set(days);
  return entries
    .flat()
    .map(({ value }) => value)
    .filter(({ day }) => wanted.has(day));
}

function grouped(kpis: readonly DailyKpi[], of: (kpi: DailyKpi) => string): Map<string, DailyKpi[]> {
  const groups = new Map<string, DailyKpi[]>();
  for (const kpi of kpis) groups.set(of(kpi), [...(groups.get(of(kpi)) ?? []), kpi]);
  return groups;
}

function figuresOf({ start, duration, response, gotAgent, warmHits, ...sums }: KpiSums): KpiFigures {
  return {
    ...sums,
    successRate: sums.calls === 0 ? null : sums.completed / sums.calls,
    warmHitRate: gotAgent === 0 ? null : warmHits / gotAgent,
    startMs: latencyOf(start) ?? null,
    durationMs: latencyOf(duration) ?? null,
    responseMs: latencyOf(response) ?? null,
  };
}
