// Reads what the last build stage of a Dockerfile copies, sets and runs.

interface Instruction {
  readonly word: string;
  readonly rest: string;
}

export interface Image {
  readonly base: string;
  /** Paths copied from the repository, with their destinations below the working directory. */
  readonly copies: readonly { readonly from: string; readonly to: string }[];
  /** Folders that the step `build` compiles, each to `dist/<folder>`. */
  readonly compiled: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly user: string;
  /** Commands that the build runs as this user, after all copies. */
  readonly finalSteps: readonly (readonly string[])[];
  readonly healthCheck: readonly string[];
}

export function readDockerfile(text: string): Image {
  const all = instructionsOf(text);
  const last = all.slice(all.findLastIndex(({ word }) => word === "FROM"));
  const only = (word: string): string => {
    const found = last.filter((instruction) => instruction.word === word);
    if (found.length !== 1)
      throw new Error(`The last build stage has ${found.length} ${word} instructions, not 1.`);
    return found[0]!.rest;
  };
  const isFrom = ({ word }: Instruction) => word === "FROM";
  const [, ...build] = all.slice(all.findIndex((one) => isFrom(one) && one.rest.endsWith(" AS build")));
  const env = last
    .filter(({ word }) => word === "ENV")
    .flatMap(({ rest }) => rest.split(/\s+/).map((pair) => pair.split("=") as [string, string]));
  const base = all.find(({ word, rest }) => word === "ARG" && rest.startsWith("BASE_IMAGE="));
  return {
    base: base?.rest.split("=")[1] ?? "",
    copies: copiesOf(last),
    compiled: copiesOf(build.slice(0, build.findIndex(isFrom))).map(({ from }) => from),
    env: Object.fromEntries(env),
    entrypoint: JSON.parse(only("ENTRYPOINT")),
    user: only("USER"),
    finalSteps: last
      .slice(last.findLastIndex(({ word }) => word === "USER" || word === "COPY"))
      .filter(({ word }) => word === "RUN")
      .map(({ rest }) => JSON.parse(rest)),
    healthCheck: JSON.parse(only("HEALTHCHECK").split(" CMD ")[1] ?? "[]"),
  };
}

/** Copies out of the repository. */
const copiesOf = (instructions: readonly Instruction[]): Image["copies"] =>
  instructions
    .filter(({ word, rest }) => word === "COPY" && !rest.startsWith("--from="))
    .flatMap(({ rest }) => {
      const paths = rest.split(/\s+/);
      const to = paths.pop() ?? "";
      return paths.map((from) => ({ from, to: to.endsWith("/") ? `${to}${from}` : to }));
    });

function instructionsOf(text: string): Instruction[] {
  return text
    .split("\n")
    .filter((line) => !line.trimStart().startsWith("#"))
    .join("\n")
    .replace(/\\\n\s*/g, "")
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [, word = "", rest = ""] = /^(\S+)\s+(.*)$/.exec(line.trim()) ?? [];
      return { word: word.toUpperCase(), rest };
    });
}
