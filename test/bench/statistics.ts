// Quantiles of measurements, and their formatting as a table.

/** The smallest value that at least a share `q` of all values does not exceed. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

export const ms = (value: number): string => (value < 100 ? value.toFixed(1) : value.toFixed(0));

/** Formats one figure over several rounds as "median (min–max)". */
export const overRounds = (rounds: readonly number[]): string =>
  `${ms(quantile(rounds, 0.5))} (${ms(Math.min(...rounds))}–${ms(Math.max(...rounds))})`;

/** Formats rows in columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
