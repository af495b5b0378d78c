// How long to wait before a process that died is started again.

export interface BackOff {
  readonly firstMs: number;
  readonly mostMs: number;
  /** A process that was up for this long is sound: its death starts the count anew. */
  readonly steadyMs: number;
  /** So many quick deaths in a row mean that it doesn't work. */
  readonly patience: number;
  /** It is still tried then, but seldom: what it lacks may come back. */
  readonly slowMs: number;
}

export const defaultBackOff: BackOff = {
  firstMs: 250,
  mostMs: 5000,
  steadyMs: 10_000,
  patience: 6,
  slowMs: 15_000,
};

/** @param quickDeaths how often it died in a row, this time included */
export function restartDelay(backOff: BackOff, quickDeaths: number): { delayMs: number; hasFailed: boolean } {
  if (quickDeaths >= backOff.patience) return { delayMs: backOff.slowMs, hasFailed: true };
  const delayMs = Math.min(backOff.mostMs, backOff.firstMs * 2 ** Math.max(0, quickDeaths - 1));
  return { delayMs, hasFailed: false };
}
