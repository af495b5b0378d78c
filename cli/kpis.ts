// `npm run kpis -- --day 2026-01-31`: makes the key figures of days again from their calls, or with --check compares.
import { parseArgs } from "node:util";
import { connectNatsBus } from "../libs/bus/nats/nats-bus.ts";
import { dayOf } from "../libs/contracts/calls/call.ts";
import { messageOf } from "../libs/contracts/errors.ts";
import { Tenant } from "../libs/contracts/ids.ts";
import { systemClock } from "../libs/runtime/clock.ts";
import { commonSettings } from "../libs/runtime/common-settings.ts";
import { readConfig } from "../libs/runtime/config.ts";
import { createLog } from "../libs/runtime/log.ts";
import { KpiWriter } from "../services/calls/kpi-writer.ts";

const USAGE =
  "npm run kpis -- --day 2026-01-31 [--days 7] [--tenant name] [--check]\n" +
  "  --day     the last day, in UTC; today when nothing is said\n" +
  "  --days    how many days up to that one; 1 when nothing is said\n" +
  "  --tenant  one tenant; all when nothing is said\n" +
  "  --check   changes nothing; ends with 1 when stored figures differ from their calls\n" +
  "Without --check, figures of days whose calls are all gone are removed.";
const DAY_MS = 24 * 60 * 60 * 1000;

process.exitCode = await main().catch((error: unknown) => {
  console.error(messageOf(error));
  return 2;
});

async function main(): Promise<number> {
  const asked = readArguments();
  if (asked === undefined) {
    console.error(USAGE);
    return 2;
  }
  const config = readConfig(commonSettings, process.env);
  const log = createLog("kpis", "warn");
  const bus = await connectNatsBus({
    url: config.NATS_URL,
    name: "kpis",
    replicas: config.GREENROOM_REPLICAS,
    log,
    onLost: (error) => {
      console.error(`NATS is lost: ${error}`);
      process.exit(2);
    },
  });
  try {
    const keeper = new KpiWriter({
      bus,
      clock: systemClock,
      log,
      settings: { intervalMs: 1000, lookbackDays: 1 },
    });
    let different = 0;
    for (const day of asked.days) {
      const of = { tenant: asked.tenant, day };
      if (!asked.check) await keeper.make(of, { prune: true });
      const wrong = await keeper.check(of);
      different += wrong.length;
      const said =
        wrong.length === 0 ? "agree with their calls" : `DIFFER from their calls: ${wrong.join(", ")}`;
      console.log(`${day}: the figures ${said}`);
    }
    return different === 0 ? 0 : 1;
  } finally {
    await bus.close();
  }
}

/** Undefined when they can't be used. */
function readArguments(): { days: string[]; tenant: string; check: boolean } | undefined {
  try {
    const { values } = parseArgs({
      options: {
        day: { type: "string" },
        days: { type: "string", default: "1" },
        tenant: { type: "string" },
        check: { type: "boolean", default: false },
      },
    });
    const lastMs = values.day === undefined ? Date.now() : Date.parse(values.day);
    const count = Number(values.days);
    if (Number.isNaN(lastMs) || !Number.isInteger(count) || count < 1 || count > 400) return undefined;
    const days = Array.from({ length: count }, (_, back) =>
      dayOf(new Date(lastMs - back * DAY_MS).toISOString()),
    );
    const tenant = values.tenant === undefined ? "*" : Tenant.parse(values.tenant);
    return { days: days.reverse(), tenant, check: values.check };
  } catch {
    return undefined;
  }
}
