// The programs of `greenroom` and of the image, by their names: services, and commands for people.
import { closest } from "fastest-levenshtein";
import { processNames } from "../libs/contracts/fleet/pool.ts";
import { mainOf } from "./supervisor/fork-service.ts";

interface CommandLine {
  readonly main: string;
  readonly summary: string;
}

const commands: Readonly<Record<string, CommandLine>> = {
  dev: { main: "cli/local/dev.ts", summary: "everything on this machine, with the agent files of a folder" },
  start: { main: "cli/local/start.ts", summary: "the same without reloads and without opening the page" },
  init: { main: "cli/init/main.ts", summary: "adds Greenroom to the project in this folder" },
  doctor: { main: "cli/doctor/main.ts", summary: "checks everything that Greenroom depends on" },
  inspect: { main: "cli/inspect/main.ts", summary: "everything that is known about a session or task" },
  "host-env": {
    main: "cli/host-env/main.ts",
    summary: "the settings with which another machine adds a host",
  },
  "download-files": { main: "cli/download-files/main.ts", summary: "the model files of the agents' plugins" },
  task: { main: "cli/task/main.ts", summary: "queues an outbound call, lists and cancels calls" },
  kpis: { main: "cli/kpis.ts", summary: "builds key figures again" },
  "verify-receipt": { main: "cli/verify-receipt.ts", summary: "verifies the receipt of a deletion" },
};

/** Besides the names of the services themselves. */
const aliases: Readonly<Record<string, string>> = { host: "agent-host" };

/** The file of each service, relative to the repository's root. */
const services: ReadonlyMap<string, string> = new Map([
  ...processNames.map((name) => [name, mainOf(name)] as const),
  ...Object.entries(aliases).map(([alias, name]) => [alias, mainOf(name)] as const),
]);

/** The file of each program, relative to the repository's root. */
export const programs: ReadonlyMap<string, string> = new Map([
  ...services,
  ...Object.entries(commands).map(([name, { main }]) => [name, main] as const),
]);

/** A service reads its settings from the environment, and takes no arguments. */
export const isService = (name: string): boolean => services.has(name);

export function usage(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  return [
    "Usage: greenroom <command> [arguments]",
    "",
    ...Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`),
    "",
    "Services, which run until they are stopped: gateway, control, host (or agent-host).",
    `Roles of control, which also run alone: ${processNames.filter((name) => !MAIN.includes(name)).join(", ")}.`,
    "",
    "greenroom <command> --help shows the arguments. Settings come from the environment.",
    "Exit codes: 0 success, 1 failure, 2 invalid arguments, 78 invalid settings, 130 after a second Ctrl+C.",
  ].join("\n");
}

const MAIN: readonly string[] = ["gateway", "control", "agent-host"];

export const unknownProgram = (name: string): string =>
  `Unknown command ${name}. Did you mean ${closest(name, [...programs.keys()])}? greenroom --help lists all.`;

export const serviceUsage = (name: string): string =>
  `Usage: greenroom ${name}\n\nRuns until SIGTERM. Takes no arguments: settings come from the environment.`;
