// Whether a series grows: a robust slope, and whether its rise could be chance. Pure.

export interface Series {
  readonly name: string;
  readonly unit: string;
  /** Seconds since the start, with the value; ascending. */
  readonly points: readonly (readonly [atS: number, value: number])[];
  /** A rise over the measured span that is less than this is none, whatever else. */
  readonly floor: number;
}

export interface Trend {
  readonly name: string;
  readonly unit: string;
  readonly isGrowing: boolean;
  readonly median: number;
  readonly perHour: number;
  /** By how much the slope raises it over the measured span. */
  readonly rise: number;
  /** Mann and Kendall's z: how many standard deviations the number of rises is from chance. */
  readonly z: number;
}

/** Part of the median by which it may rise before that counts. */
const TOLERANCE = 0.08;
/** Such a z comes by chance once in about 700 series without a trend. */
const CHANCE_Z = 3;
const FEWEST_POINTS = 8;

/**
 * A series grows when its rise over the measured span (Theil and Sen's slope, which outliers don't move) is more
 * than 8 % of its median and more than its floor, and the order of its values is no chance (Mann and Kendall,
 * z > 3). One with fewer than eight points is not judged.
 */
export function trendOf({ name, unit, points, floor }: Series): Trend {
  const median = middle(points.map(([, value]) => value));
  const slope = theilSen(points);
  const spanS = (points.at(-1)?.[0] ?? 0) - (points[0]?.[0] ?? 0);
  const rise = slope * spanS;
  const z = mannKendall(points.map(([, value]) => value));
  const isGrowing =
    points.length >= FEWEST_POINTS && rise > Math.max(floor, TOLERANCE * median) && z > CHANCE_Z;
  return { name, unit, isGrowing, median, perHour: slope * 3600, rise, z };
}

/** The median of the slopes between all pairs of points, per second. */
export function theilSen(points: Series["points"]): number {
  const slopes: number[] = [];
  for (const [index, [atS, value]] of points.entries()) {
    for (const [laterS, later] of points.slice(index + 1)) {
      if (laterS > atS) slopes.push((later - value) / (laterS - atS));
    }
  }
  return middle(slopes);
}

/** How far the count of rises less falls over all pairs is from what chance gives, with ties left out. */
export function mannKendall(values: readonly number[]): number {
  const n = values.length;
  let score = 0;
  for (const [index, value] of values.entries()) {
    for (const later of values.slice(index + 1)) score += Math.sign(later - value);
  }
  const ties = new Map<number, number>();
  for (const value of values) ties.set(value, (ties.get(value) ?? 0) + 1);
  const tied = [...ties.values()].reduce((sum, t) => sum + t * (t - 1) * (2 * t + 5), 0);
  const variance = (n * (n - 1) * (2 * n + 5) - tied) / 18;
  return variance <= 0 ? 0 : (score - Math.sign(score)) / Math.sqrt(variance);
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  if (sorted.length === 0) return 0;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
