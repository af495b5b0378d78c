// Tones that tell callers apart.
import { expect, test } from "vitest";
import { isTone, toneOf } from "../../../../cli/doctor/tone.ts";

test("recognizes a tone of the right frequency, and nothing else", () => {
  const tone = toneOf(700, 48_000, 0, 960);
  expect(isTone(tone, 48_000, 700)).toBe(true);
  expect(isTone(tone, 48_000, 1150)).toBe(false);
  expect(isTone(new Int16Array(960), 48_000, 700)).toBe(false);
  const noise = Int16Array.from({ length: 960 }, (_, i) => ((i * 7919) % 16_000) - 8000);
  expect(isTone(noise, 48_000, 700)).toBe(false);
  const faint = tone.map((sample) => sample / 30);
  expect(isTone(faint, 48_000, 700)).toBe(false);
});
