// Quantiles of measured times, and a table of them.

/** The smallest value that at least a share `q` of all values does not exceed. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

export const ms = (value: number): string => (value < 100 ? value.toFixed(1) : value.toFixed(0));

/** "median (least–most)" of one figure over several rounds. */
export const overRounds = (rounds: readonly number[]): string =>
  `${ms(quantile(rounds, 0.5))} (${ms(Math.min(...rounds))}–${ms(Math.max(...rounds))})`;

/** Rows of text in columns as wide as their widest cell. */
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
