// A tone, and whether a piece of sound is one.

const LOUDNESS = 8000;
/** Of 32,768: what a quiet line has is far less, what a codec leaves of the tone is more. */
const QUIET_RMS = 500;
/** How much of all its power a piece has at the tone's frequency, to be one: speech has a tenth. */
const TONE_SHARE = 0.6;

/** Samples of a sine, from the `from`-th on, so that frames of it fit each other. */
export const toneOf = (hertz: number, rate: number, from: number, count: number): Int16Array =>
  Int16Array.from(
    { length: count },
    (_, i) => LOUDNESS * Math.sin((2 * Math.PI * hertz * (from + i)) / rate),
  );

export function isTone(samples: Int16Array, rate: number, hertz: number): boolean {
  let power = 0;
  for (const sample of samples) power += sample * sample;
  if (Math.sqrt(power / Math.max(1, samples.length)) < QUIET_RMS) return false;
  return powerAt(samples, rate, hertz) / power >= TONE_SHARE;
}

/** Goertzel's algorithm: the power that a sine of this frequency has in the samples. */
function powerAt(samples: Int16Array, rate: number, hertz: number): number {
  const turn = 2 * Math.cos((2 * Math.PI * hertz) / rate);
  let [last, lastButOne] = [0, 0];
  for (const sample of samples) [last, lastButOne] = [sample + turn * last - lastButOne, last];
  return ((last ** 2 + lastButOne ** 2 - turn * last * lastButOne) * 2) / samples.length;
}
