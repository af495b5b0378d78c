// The pauses before a process or a role that died is started again.

export interface BackOff {
  readonly firstMs: number;
  readonly mostMs: number;
  /** A life of this length counts as sound, so the count of quick deaths starts at 1 again. */
  readonly steadyMs: number;
  /** This many quick deaths in a row count as a failure. */
  readonly patience: number;
  /** The pause after a failure: whatever is missing may come back. */
  readonly slowMs: number;
}

export const defaultBackOff: BackOff = {
  firstMs: 250,
  mostMs: 5000,
  steadyMs: 10_000,
  patience: 6,
  slowMs: 15_000,
};

/** @param quickDeaths the deaths in a row after short lives, this one included */
export function restartDelay(backOff: BackOff, quickDeaths: number): { delayMs: number; hasFailed: boolean } {
  if (quickDeaths >= backOff.patience) return { delayMs: backOff.slowMs, hasFailed: true };
  const delayMs = Math.min(backOff.mostMs, backOff.firstMs * 2 ** Math.max(0, quickDeaths - 1));
  return { delayMs, hasFailed: false };
}
