// Delays before a dead process or a failed role is restarted.

export interface BackOff {
  readonly firstMs: number;
  readonly mostMs: number;
  /** A run of at least this length resets the count of quick deaths. */
  readonly steadyMs: number;
  /** This many quick deaths in a row count as a failure. */
  readonly patience: number;
  /** The delay after a failure, because a missing dependency may return. */
  readonly slowMs: number;
}

export const defaultBackOff: BackOff = {
  firstMs: 250,
  mostMs: 5000,
  steadyMs: 10_000,
  patience: 6,
  slowMs: 15_000,
};

/** @param quickDeaths consecutive deaths after short runs, this one included */
export function restartDelay(backOff: BackOff, quickDeaths: number): { delayMs: number; hasFailed: boolean } {
  if (quickDeaths >= backOff.patience) return { delayMs: backOff.slowMs, hasFailed: true };
  const delayMs = Math.min(backOff.mostMs, backOff.firstMs * 2 ** Math.max(0, quickDeaths - 1));
  return { delayMs, hasFailed: false };
}
