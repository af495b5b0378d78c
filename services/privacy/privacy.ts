// The removal of data: carries out what is asked for, and asks by itself for what is too old, where that is set.

import { createReceiptSigner } from "../../libs/auth/receipts.ts";
import type { Bus, Stop } from "../../libs/bus/bus.ts";
import type { Clock } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";
import type { RecorderConfig } from "../calls/config.ts";
import { startDeletionJobs } from "./deletion-jobs.ts";
import { startRetention } from "./retention.ts";

export interface DeletionsDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly instance: string;
  readonly nextWriteId: () => string;
}

/** @throws ConfigError for a key that receipts can't be signed with */
export async function startDeletions(config: RecorderConfig, deps: DeletionsDeps): Promise<Stop> {
  const signer = createReceiptSigner(config);
  const stopJobs = await startDeletionJobs({
    ...deps,
    signer,
    settleMs: config.GREENROOM_ERASURE_SETTLE_MS,
  });
  const stopRetention = config.RETENTION_CLEANUP_ENABLED
    ? startRetention({
        ...deps,
        settings: {
          intervalMs: config.RETENTION_CLEANUP_INTERVAL_MS,
          days: config.RETENTION_DAYS,
          tenant: config.GREENROOM_TENANT,
        },
      })
    : () => {};
  return async () => {
    stopRetention();
    await stopJobs();
  };
}
