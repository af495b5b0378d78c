// The agent with a tone, some of its idle ones hot: for calls whose every second is listened to.
import tone from "./tone.ts";

export default tone;

export const pool = { min: 4, hot: 2, max: 40, perProcess: 12 };
