// The calls service's settings. All values differ, so that none can be mistaken for another.
import { expect, test } from "vitest";
import { readConfig } from "../../../../libs/runtime/config.ts";
import * as calls from "../../../../services/calls/config.ts";

test("gives the calls service its settings: call records and key figures", () => {
  const config = readConfig(calls.callsSettings, {
    GREENROOM_REPORT_WAIT_MS: "11",
    METRICS_LOOKBACK_DAYS: "12",
    KPI_ROLLUP_ENABLED: "false",
    KPI_ROLLUP_INTERVAL_MS: "113",
    KPI_LOOKBACK_DAYS: "14",
  });
  expect(calls.callSettingsOf(config)).toEqual({
    reportWaitMs: 11,
    metricsLookbackDays: 12,
    kpis: false,
    kpiIntervalMs: 113,
    kpiLookbackDays: 14,
  });
  expect(calls.callSettingsOf(readConfig(calls.callsSettings, {})).kpis).toBe(true);
});
