// The privacy service: removes the data that it is asked to, and what is too old where a limit is set.
import type { ReceiptSigner } from "../../libs/auth/receipts.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { startDeletionJobs } from "./deletion-jobs.ts";
import { type RetentionDeps, startRetention } from "./retention.ts";

export interface PrivacyDeps extends ServiceDeps {
  readonly instance: string;
  readonly nextWriteId: () => string;
  /** Undefined: jobs get no receipt. */
  readonly signer: ReceiptSigner | undefined;
  readonly settings: {
    readonly settleMs: number;
    /** Undefined: nothing is removed by age. */
    readonly retention: RetentionDeps["settings"] | undefined;
  };
}

export async function startPrivacy({ settings, ...deps }: PrivacyDeps): Promise<{ stop(): Promise<void> }> {
  const { settleMs, retention } = settings;
  const stopJobs = await startDeletionJobs({ ...deps, settleMs });
  const stopRetention = retention === undefined ? () => {} : startRetention({ ...deps, settings: retention });
  return {
    async stop() {
      stopRetention();
      await stopJobs();
    },
  };
}
