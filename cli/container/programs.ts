// The programs of the image: the services and the tools for operators, by the names of their npm scripts.
import { processNames } from "../../libs/contracts/fleet/pool.ts";
import { mainOf } from "../supervisor/fork-service.ts";

const tools = {
  doctor: "cli/doctor/main.ts",
  inspect: "cli/inspect/main.ts",
  kpis: "cli/kpis.ts",
  task: "cli/task/main.ts",
  "verify-receipt": "cli/verify-receipt.ts",
};

/** The file of each program, relative to the repository's root. */
export const programs: ReadonlyMap<string, string> = new Map([
  ...processNames.map((name) => [name, mainOf(name)] as const),
  ...Object.entries(tools),
]);

/** The message for a missing or unknown name. */
export const usage = (name: string | undefined): string =>
  `${name === undefined ? "No program given" : `Unknown program ${name}`}. ` +
  `Use one of the services ${processNames.join(", ")}, or one of the tools ${Object.keys(tools).join(", ")}.`;
