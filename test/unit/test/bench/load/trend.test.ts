// Growth as the soak test judges it, on series whose growth is known.
import { describe, expect, it } from "vitest";
import { mannKendall, theilSen, trendOf } from "../../../../bench/load/trend.ts";
import { createRandom } from "../../../../kit/random.ts";

/** A value every 10 s for 20 minutes: a base, hourly growth, and noise. */
function series(base: number, perHour: number, noise: number, seed = 1) {
  const random = createRandom(seed);
  const points = Array.from({ length: 120 }, (_, index): [number, number] => {
    const atS = index * 10;
    return [atS, base + (perHour * atS) / 3600 + (random() - 0.5) * 2 * noise];
  });
  return { name: "a process: memory, MB", unit: "MB", floor: 12, points };
}

describe("trendOf", () => {
  it("finds a leak, also under noise", () => {
    const trend = trendOf(series(100, 90, 10));
    expect(trend.isGrowing).toBe(true);
    expect(trend.perHour).toBeGreaterThan(60);
    expect(trend.perHour).toBeLessThan(120);
  });

  it("finds no growth in noise alone, with any seed", () => {
    for (let seed = 1; seed <= 50; seed++) expect(trendOf(series(100, 0, 30, seed)).isGrowing).toBe(false);
  });

  it("ignores growth below the floor, however certain", () => {
    const trend = trendOf(series(100, 20, 0.1));
    expect(trend.z).toBeGreaterThan(10);
    expect(trend.isGrowing).toBe(false);
  });

  it("keeps its slope despite one extreme value", () => {
    const wild = series(100, 0, 1);
    wild.points[119] = [1190, 100_000];
    expect(Math.abs(trendOf(wild).perHour)).toBeLessThan(5);
  });

  it("finds no growth in a falling, constant or short series", () => {
    expect(trendOf(series(100, -90, 1)).isGrowing).toBe(false);
    expect(trendOf(series(7, 0, 0)).isGrowing).toBe(false);
    const few = series(100, 90_000, 0);
    expect(trendOf({ ...few, points: few.points.slice(0, 5) }).isGrowing).toBe(false);
  });
});

describe("theilSen and mannKendall", () => {
  it("equals the textbook's values", () => {
    const line = [0, 1, 2, 3, 4].map((x): [number, number] => [x, 2 * x + 1]);
    expect(theilSen(line)).toBe(2);
    // S = 10, and the variance of five values without ties is 5 · 4 · 15 / 18.
    expect(mannKendall([1, 2, 3, 4, 5])).toBeCloseTo(9 / Math.sqrt(300 / 18), 10);
    expect(mannKendall([3, 3, 3, 3])).toBe(0);
  });
});
