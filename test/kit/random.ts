// A seeded random generator. The same seed gives the same numbers on every machine.

/** Returns numbers from 0 (included) to 1 (excluded). */
export type Random = () => number;

/** Creates an sfc32 generator (Chris Doty-Humphrey), small and fast, whose state splitmix32 fills from the seed. */
export function createRandom(seed: number): Random {
  const fill = splitmix(seed);
  let a = fill();
  let b = fill();
  let c = fill();
  let counter = 1;
  return () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
}

/** Creates a generator for one part of a run, so that other parts don't shift its numbers. */
export function forkRandom(seed: number, part: string): Random {
  let hash = seed | 0;
  for (const letter of part) hash = (Math.imul(hash, 31) + (letter.codePointAt(0) ?? 0)) | 0;
  return createRandom(hash);
}

/** Returns a whole number from `from` to `to`, both included. */
export const integerBetween = (random: Random, from: number, to: number): number =>
  from + Math.floor(random() * (to - from + 1));

export const pickOne = <T>(random: Random, items: readonly [T, ...T[]]): T =>
  items[Math.floor(random() * items.length)] as T;

function splitmix(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return mixed ^ (mixed >>> 15);
  };
}
