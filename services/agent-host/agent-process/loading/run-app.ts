// The exports of @livekit/agents that are Greenroom's own for an agent file, e.g. a `cli.runApp` that starts no worker.
import type { ServerOptions } from "@livekit/agents";
import * as agents from "@livekit/agents";

type Options = Pick<ServerOptions, "agent" | "agentName" | "requestFunc">;

/** The key under which the module below finds the exports. */
const EXPORTS = "greenroom.agentsExports";

let captured: Options | undefined;

/**
 * Makes `runApp` do nothing but keep its options.
 *
 * @param inference replaces the export of this name
 * @returns all exports of @livekit/agents, for `require`
 */
export function replaceExports(inference: typeof agents.inference): typeof agents {
  const runApp = (options: Options): void => {
    captured = options;
  };
  const own = { cli: { ...agents.cli, runApp }, inference };
  Object.defineProperty(globalThis, Symbol.for(EXPORTS), { value: own });
  return { ...agents, ...own };
}

/** The options of the last `runApp`; undefined if the file has not called it. */
export const runAppOptions = (): Options | undefined => captured;

/** The source of an ES module with the exports of @livekit/agents, some of them replaced. */
export const agentsModuleSource = (real: string): string => `
export * from ${JSON.stringify(real)};
export const { cli, inference } = globalThis[Symbol.for(${JSON.stringify(EXPORTS)})];
`;
