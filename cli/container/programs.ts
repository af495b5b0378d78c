// What the image can run: each service and the tools of an operator, by the names of the npm scripts.
import { processNames } from "../../libs/contracts/fleet/pool.ts";
import { mainOf } from "../supervisor/fork-service.ts";

const tools = {
  doctor: "cli/doctor/main.ts",
  inspect: "cli/inspect/main.ts",
  kpis: "cli/kpis.ts",
  task: "cli/task/main.ts",
  "verify-receipt": "cli/verify-receipt.ts",
};

/** The file of each, from the top of the repository. */
export const programs: ReadonlyMap<string, string> = new Map([
  ...processNames.map((name) => [name, mainOf(name)] as const),
  ...Object.entries(tools),
]);

/** For whoever names none, or one that there isn't. */
export const usage = (word: string | undefined): string =>
  `${word === undefined ? "Say what is to run" : `There is no ${word} in this image`}: ` +
  `one of the services ${processNames.join(", ")}, or of the tools ${Object.keys(tools).join(", ")}.`;
