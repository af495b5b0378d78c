// Reads the code of agent files, with the modules of their projects that they import.
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { build } from "esbuild";
import { findProfiles, type ProfileFile } from "../../services/agent-host/pool/find-profiles.ts";

export interface AgentCode {
  readonly profile: string;
  /** Without comments, and without what the file doesn't use. */
  readonly text: string;
}

/** Bundles an agent file with the modules of its project, in memory. @throws Error if it does not compile */
export const bundle = (file: string) =>
  build({
    ...{ entryPoints: [file], bundle: true, packages: "external", platform: "node", format: "esm" },
    ...{ write: false, metafile: true, logLevel: "silent", absWorkingDir: dirname(file) },
    ...{ legalComments: "none", loader: { ".node": "empty" } },
  });

/** The code of the agent files in a folder. Empty if the folder can't be read. */
export async function agentCodeIn(folder: string): Promise<AgentCode[]> {
  const files = await findProfiles(folder).catch((): ProfileFile[] => []);
  return (await Promise.all(files.map(codeOf))).flatMap((code) => code ?? []);
}

/** Undefined for a helper module. A file that does not compile stands for itself. */
async function codeOf({ file, profile }: ProfileFile): Promise<AgentCode | undefined> {
  try {
    const { metafile, outputFiles } = await bundle(file);
    const text = outputFiles[0]?.text ?? "";
    const exported = Object.values(metafile.outputs).flatMap(({ exports }) => exports);
    const isHelper =
      exported.length > 0 && !exported.includes("default") && !/\b(defineAgent|runApp)\(/.test(text);
    return isHelper ? undefined : { profile, text };
  } catch {
    return { profile, text: await readFile(file, "utf8").catch(() => "") };
  }
}
