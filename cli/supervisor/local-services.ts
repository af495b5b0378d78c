// The processes of a local Greenroom, in one of two shapes.
import { parseArgs } from "node:util";
import { messageOf } from "../../libs/contracts/errors.ts";
import type { ProcessName, RoleName } from "../../libs/contracts/fleet/pool.ts";
import { rolesIn } from "../../services/control/config.ts";
import { serviceMain } from "./fork-service.ts";

export interface LocalService {
  readonly name: ProcessName;
  /** The file to run. */
  readonly main: string;
  /** The roles of a control process. */
  readonly roles?: readonly RoleName[];
  /** Starts after the first agent is warm, so that it does not delay the first conversation. */
  readonly isLater?: true;
  /** The number of processes; 1 by default. */
  readonly count?: number;
}

/** `control`: all roles in one process. `roles`: a process for each. */
export const SHAPES = ["control", "roles"] as const;
export type Shape = (typeof SHAPES)[number];

export function localServices(
  shape: Shape,
  env: Readonly<Record<string, string | undefined>>,
  count = 1,
): LocalService[] {
  const service = (name: ProcessName) => ({ name, main: serviceMain(name), count });
  if (shape === "control")
    return [service("gateway"), { ...service("control"), roles: rolesIn(env) }, service("agent-host")];
  const [first, later] = [
    ["dispatcher", "janitor"],
    ["providers", "handoffs", "tasks", "calls", "webhooks", "privacy"],
  ] as const;
  return [
    ...(["gateway", ...first, "agent-host"] as const).map(service),
    ...later.map((name) => ({ ...service(name), isLater: true as const })),
  ];
}

const USAGE = `npm start -- [--shape ${SHAPES.join("|")}]
  --shape  control (default): one process for all roles; roles: a process for each role
Settings come from the environment: see docs/reference/settings.md.`;

/** The shape in the command line. Ends the process after --help or an invalid argument. */
export function shapeIn(args: readonly string[]): Shape {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { shape: { type: "string", default: "control" }, help: { type: "boolean", short: "h" } },
    });
    if (values.help === true) {
      console.log(USAGE);
      process.exit(0);
    }
    const shape = SHAPES.find((known) => known === values.shape);
    if (shape !== undefined) return shape;
    console.error(`--shape takes ${SHAPES.join(" or ")}, not "${values.shape}".\n\n${USAGE}`);
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${USAGE}`);
  }
  process.exit(2);
}
