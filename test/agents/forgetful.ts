// A test agent whose conversations are not restored.
import stock from "./stock/stock-agent.ts";

export const pool = { min: 2, hot: 0, max: 20, perProcess: 10, isolation: "shared" };
export const failover = { restore: false };
export default stock;
