// `greenroom kpis --day 2026-01-31`: recomputes the key figures of days from their calls; --check only compares.
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
  "greenroom kpis --day 2026-01-31 [--days 7] [--tenant name] [--check]\n" +
  "  --day     the last day, in UTC; default: today\n" +
  "  --days    number of days up to that day; default: 1\n" +
  "  --tenant  one tenant; default: all\n" +
  "  --check   changes nothing; exits with 1 if stored figures differ from their calls\n" +
  "Without --check, figures of days without calls are deleted.";
const DAY_MS = 24 * 60 * 60 * 1000;

process.exitCode = await main().catch((error: unknown) => {
  console.error(messageOf(error));
  return 2;
});

async function main(): Promise<number> {
  if (process.argv.includes("--help")) {
    console.log(USAGE);
    return 0;
  }
  const options = readArguments();
  const config = readConfig(commonSettings, process.env);
  const log = createLog("kpis", "warn");
  const bus = await connectNatsBus({
    url: config.NATS_URL,
    name: "kpis",
    replicas: config.GREENROOM_REPLICAS,
    log,
    onLost: (error) => {
      console.error(`lost the connection to NATS: ${error}`);
      process.exit(2);
    },
  });
  try {
    const writer = new KpiWriter({
      bus,
      clock: systemClock,
      log,
      settings: { intervalMs: 1000, lookbackDays: 1 },
    });
    let different = 0;
    for (const day of options.days) {
      const selected = { tenant: options.tenant, day };
      if (!options.check) await writer.make(selected, { prune: true });
      const wrong = await writer.check(selected);
      different += wrong.length;
      const result =
        wrong.length === 0 ? "agree with their calls" : `DIFFER from their calls: ${wrong.join(", ")}`;
      console.log(`${day}: the figures ${result}`);
    }
    return different === 0 ? 0 : 1;
  } finally {
    await bus.close();
  }
}

/** @throws Error that names the invalid argument */
function readArguments(): { days: string[]; tenant: string; check: boolean } {
  const { values } = parseArgs({
    options: {
      day: { type: "string" },
      days: { type: "string", default: "1" },
      tenant: { type: "string" },
      check: { type: "boolean", default: false },
    },
  });
  const lastMs = values.day === undefined ? Date.now() : Date.parse(values.day);
  if (Number.isNaN(lastMs)) throw new Error(`--day takes a day like 2026-01-31, not "${values.day}".`);
  const count = Number(values.days);
  if (!Number.isInteger(count) || count < 1 || count > 400)
    throw new Error(`--days takes a number from 1 to 400, not "${values.days}".`);
  const days = Array.from({ length: count }, (_, back) =>
    dayOf(new Date(lastMs - back * DAY_MS).toISOString()),
  );
  const { tenant = "*" } = values;
  if (tenant !== "*" && !Tenant.safeParse(tenant).success)
    throw new Error(`--tenant takes the name of a tenant, not "${tenant}".`);
  return { days: days.reverse(), tenant, check: values.check };
}
