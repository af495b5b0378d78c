// Generates a tone, and detects it in audio samples.

const LOUDNESS = 8000;
/** Out of 32,768. A silent line is far below, a tone after any codec is above. */
const QUIET_RMS = 500;
/** The minimum share of the signal's power at the tone's frequency. Speech has about a tenth. */
const TONE_SHARE = 0.6;

/** Samples of a sine wave, beginning at sample `from`, so that consecutive frames are continuous. */
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

/** Power of the samples at one frequency, by Goertzel's algorithm. */
function powerAt(samples: Int16Array, rate: number, hertz: number): number {
  const turn = 2 * Math.cos((2 * Math.PI * hertz) / rate);
  let [last, lastButOne] = [0, 0];
  for (const sample of samples) [last, lastButOne] = [sample + turn * last - lastButOne, last];
  return ((last ** 2 + lastButOne ** 2 - turn * last * lastButOne) * 2) / samples.length;
}
