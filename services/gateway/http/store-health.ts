// What the store said when it last failed a request: a gateway may be connected to it, and it take nothing.
import type { Bus } from "../../../libs/bus/bus.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { SessionView } from "../../../libs/fleet/session-view.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";

/** A failure that nobody has met again for so long says nothing about now. */
const FORGET_MS = 30_000;

export interface StoreHealth {
  /** Is told each error that a client is told. */
  notice(error: unknown): void;
  /** In the words of the last failure; undefined when there was none lately, or a record has been saved since. */
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
      // Without a connection it isn't the store that fails, and as soon as there is one all may be well.
      if (!bus.isConnected()) return;
      last = { reason: error.message, atMs: clock.monotonic() };
    },
    lastError: () =>
      last !== undefined && clock.monotonic() - last.atMs < FORGET_MS ? last.reason : undefined,
  };
}
