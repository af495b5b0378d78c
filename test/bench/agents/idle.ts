// The echo agent with a pool that the benchmark resizes to measure the memory of an additional warm agent.
import echo from "../../../agents/echo.ts";

export default echo;

export const pool = { min: 2, hot: 0, max: 60, perProcess: 60, isolation: "shared" };
