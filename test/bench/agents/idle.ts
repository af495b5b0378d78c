// The echo agent with a pool that the bench resizes, to weigh what one more warm agent costs.
import echo from "../../../agents/echo.ts";

export default echo;

export const pool = { min: 2, hot: 0, max: 60, perProcess: 60 };
