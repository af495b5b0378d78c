// The processes of a local Greenroom, in either of two shapes.
import { parseArgs } from "node:util";
import type { ProcessName, RoleName } from "../../libs/contracts/fleet/pool.ts";
import { rolesIn } from "../../services/control/config.ts";
import { serviceMain } from "./fork-service.ts";

export interface LocalService {
  readonly name: ProcessName;
  /** The file to run. */
  readonly main: string;
  /** The roles that run in it, when it is a control process. */
  readonly roles?: readonly RoleName[];
  /** True for a process that starts after the first agent is warm, so that nobody waits for it who wants to talk. */
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

/** The shape that the command line asks for. Ends the process when it asks for something else. */
export function shapeIn(args: readonly string[]): Shape {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { shape: { type: "string", default: "control" } },
    });
    const shape = SHAPES.find((known) => known === values.shape);
    if (shape !== undefined) return shape;
  } catch {
    // The usage names what there is.
  }
  console.error(
    `Usage: [--shape ${SHAPES.join("|")}]; control is the default, roles gives each role a process of its own.`,
  );
  process.exit(2);
}
