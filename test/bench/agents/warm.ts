// The echo agent with warm but no hot agents.
import echo from "../../../agents/echo.ts";

export default echo;

export const pool = { min: 20, hot: 0, max: 60, perProcess: 30, isolation: "shared" };
