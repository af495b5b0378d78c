// The echo agent, its idle ones warm only.
import echo from "../../../agents/echo.ts";

export default echo;

export const pool = { min: 20, hot: 0, max: 60, perProcess: 30 };
