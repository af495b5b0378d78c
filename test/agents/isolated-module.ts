// A test agent with the isolation `module`.
import agent from "./_remembers.ts";

export const pool = { min: 2, hot: 0, max: 10, perProcess: 10, isolation: "module" };

export default agent;
