// A test agent with the isolation `process`.
import agent from "./_remembers.ts";

export const pool = { min: 2, hot: 0, max: 10, perProcess: 10, isolation: "process" };

export default agent;
