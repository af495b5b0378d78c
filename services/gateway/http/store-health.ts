// The last failure of the store. NATS may be connected and still accept no writes.
import type { Bus } from "../../../libs/bus/bus.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { SessionView } from "../../../libs/fleet/session-view.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";

/** Time after which a failure is no longer relevant. */
const FORGET_MS = 30_000;

export interface StoreHealth {
  /** Call this with each error that a client gets. */
  notice(error: unknown): void;
  /** The last failure. Undefined without a recent one, or if a record has changed since. */
  lastError(): string | undefined;
}

interface Deps {
  readonly bus: Pick<Bus, "isConnected">;
  readonly sessions: SessionView;
  readonly clock: Clock;
}

export function watchStoreHealth({ bus, sessions, clock }: Deps): StoreHealth {
  let last: { readonly reason: string; readonly atMs: number } | undefined;
  sessions.onChange(() => {
    last = undefined;
  });
  return {
    notice(error) {
      if (!(error instanceof GreenroomError) || error.code !== "storage_unavailable") return;
      // Without a connection, the store itself may be healthy.
      if (!bus.isConnected()) return;
      last = { reason: error.message, atMs: clock.monotonic() };
    },
    lastError: () =>
      last !== undefined && clock.monotonic() - last.atMs < FORGET_MS ? last.reason : undefined,
  };
}
