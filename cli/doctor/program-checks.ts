// Checks whether the servers that `npm start` runs are installed.
import { findInstalled } from "../servers/binaries.ts";
import { livekitServer, natsServer } from "../servers/binary-specs.ts";
import { check, type Finding, failure, ok, skipped, warning } from "./check.ts";
import type { Sources } from "./sources.ts";

export interface ProgramFacts {
  readonly name: string;
  readonly version: string;
  readonly isNeeded: boolean;
  readonly path: string | undefined;
  /** Why the program that a setting names can't be used. */
  readonly problem: string | undefined;
  readonly mayDownload: boolean;
}

export const programsCheck = check({
  name: "programs",
  title: "server programs",
  timeoutMs: 15_000,
  todo: "Put nats-server and livekit-server on PATH.",
  observe: async ({ env, config, isNatsGiven, isLiveKitGiven }: Sources): Promise<ProgramFacts[]> =>
    await Promise.all(
      ([natsServer, livekitServer] as const).map(async (spec) => {
        const found = await findInstalled(spec, env);
        return {
          name: spec.name,
          version: spec.version,
          isNeeded: spec === natsServer ? !isNatsGiven : !isLiveKitGiven && !config.LIVEKIT_MOCK_MODE,
          ...found,
          mayDownload: !["true", "1"].includes(env.GREENROOM_NO_DOWNLOAD ?? ""),
        };
      }),
    ),
  judge(seen: readonly ProgramFacts[]) {
    const needed = seen.filter(({ isNeeded }) => isNeeded);
    if (needed.length === 0) return [skipped("Settings name NATS and LiveKit, so none is started here.")];
    return needed.map(programFinding);
  },
});

function programFinding({ name, version, path, problem, mayDownload }: ProgramFacts): Finding {
  if (problem !== undefined)
    return failure(`${problem}.`, "Correct the setting, or unset it to search PATH.");
  if (path !== undefined) return ok(`${name} is at ${path}.`);
  if (mayDownload) return ok(`${name} is not installed. The first npm start downloads ${version}.`);
  return warning(
    `${name} is not installed, and GREENROOM_NO_DOWNLOAD is set.`,
    `Put ${name} ${version} on PATH, or unset GREENROOM_NO_DOWNLOAD.`,
  );
}
