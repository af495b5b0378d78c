// Decides whether a series grows, from a robust slope and a test against chance. Pure.

export interface Series {
  readonly name: string;
  readonly unit: string;
  /** Pairs of seconds since the start and value, in ascending order. */
  readonly points: readonly (readonly [atS: number, value: number])[];
  /** A smaller rise over the measured span is never called growth. */
  readonly floor: number;
}

export interface Trend {
  readonly name: string;
  readonly unit: string;
  readonly isGrowing: boolean;
  readonly median: number;
  readonly perHour: number;
  /** The rise over the measured span by the slope. */
  readonly rise: number;
  /** The Mann–Kendall z: the distance of the number of rises from chance, in standard deviations. */
  readonly z: number;
}

/** The share of the median that a rise must exceed. */
const TOLERANCE = 0.08;
/** About one in 700 series without a trend exceeds this z by chance. */
const CHANCE_Z = 3;
const MIN_POINTS = 8;

/**
 * A series grows if its rise over the measured span exceeds 8 % of its median and its floor. Its Mann–Kendall z
 * must also be over 3. The Theil–Sen slope gives the rise, since outliers don't affect it. Series with fewer than
 * eight points are not judged.
 */
export function trendOf({ name, unit, points, floor }: Series): Trend {
  const median = middle(points.map(([, value]) => value));
  const slope = theilSen(points);
  const spanS = (points.at(-1)?.[0] ?? 0) - (points[0]?.[0] ?? 0);
  const rise = slope * spanS;
  const z = mannKendall(points.map(([, value]) => value));
  const isGrowing = points.length >= MIN_POINTS && rise > Math.max(floor, TOLERANCE * median) && z > CHANCE_Z;
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

/** The z of the number of rises minus falls over all pairs, without ties. */
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
