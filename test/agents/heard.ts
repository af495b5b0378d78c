// The tone agent with some hot slots, for tests that measure every second of sound.
import tone from "./tone.ts";

export default tone;

export const pool = { min: 4, hot: 2, max: 40, perProcess: 12, isolation: "shared" };
