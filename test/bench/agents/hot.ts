// The echo agent with six idle agents, four of them hot.
import echo from "../../../agents/echo.ts";

export default echo;

export const pool = { min: 6, hot: 4, max: 60, perProcess: 30, isolation: "shared" };
