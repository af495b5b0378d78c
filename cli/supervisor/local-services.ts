// The processes of a local Greenroom, in one of two shapes.
import { parseArgs } from "node:util";
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

/** The shape in the command line. Ends the process if it is invalid. */
export function shapeIn(args: readonly string[]): Shape {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { shape: { type: "string", default: "control" } },
    });
    const shape = SHAPES.find((known) => known === values.shape);
    if (shape !== undefined) return shape;
  } catch {
    // The usage below lists the shapes.
  }
  console.error(
    `Usage: [--shape ${SHAPES.join("|")}]. Default: control. With roles, each role has a process of its own.`,
  );
  process.exit(2);
}
