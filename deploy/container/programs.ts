// What the image can run: each service and the tools of an operator, by the names of the npm scripts.
import { ServiceName } from "../../libs/contracts/pool.ts";

/** They have images of their own. */
const SERVERS: readonly ServiceName[] = ["nats", "livekit"];

export const services = ServiceName.options.filter((name) => !SERVERS.includes(name));

const tools = {
  doctor: "deploy/doctor/main.ts",
  inspect: "deploy/inspect/main.ts",
  kpis: "services/recorder/kpis-main.ts",
  task: "services/outbound/run-task.ts",
  "verify-receipt": "deploy/verify-receipt.ts",
};

/** The file of each, from the top of the repository. */
export const programs: ReadonlyMap<string, string> = new Map([
  ...services.map((name) => [name, `services/${name}/main.ts`] as const),
  ...Object.entries(tools),
]);

/** For whoever names none, or one that there isn't. */
export const usage = (word: string | undefined): string =>
  `${word === undefined ? "Say what is to run" : `There is no ${word} in this image`}: ` +
  `one of the services ${services.join(", ")}, or of the tools ${Object.keys(tools).join(", ")}.`;
