// Adds Greenroom to the files of a project. Everything that is there already stays.

export interface ProjectFacts {
  readonly packageJson: string;
  /** Undefined if the project has no such file. */
  readonly gitignore: string | undefined;
  readonly envExample: string | undefined;
  /** The version of Greenroom to depend on. */
  readonly version: string;
  /** The folder of the agent files, relative to the project. */
  readonly agentsFolder: string;
  /** The keys that the agent files need. */
  readonly keys: readonly string[];
}

interface Package {
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const DATA_FOLDER = ".greenroom";

/** @returns the new texts of the files that change, by their names */
export function addToProject(facts: ProjectFacts): Map<string, string> {
  const before = {
    "package.json": facts.packageJson,
    ".gitignore": facts.gitignore,
    ".env.example": facts.envExample,
  };
  const after = {
    "package.json": packageWithGreenroom(facts),
    ".gitignore": withLines(facts.gitignore, [`${DATA_FOLDER}/`], (line) => line.replace(/^\/|\/$/g, "")),
    ".env.example": withLines(
      facts.envExample,
      facts.keys.map((key) => `${key}=`),
      (line) => line.replace(/^#?\s*(export\s+)?/, "").split("=")[0] ?? "",
    ),
  };
  const names = Object.keys(after) as (keyof typeof after)[];
  return new Map(
    names.flatMap((name) => {
      const text = after[name];
      return text === undefined || text === before[name] ? [] : [[name, text] as const];
    }),
  );
}

function packageWithGreenroom({ packageJson, version, agentsFolder }: ProjectFacts): string {
  const found = JSON.parse(packageJson) as Package;
  const { dependencies = {}, devDependencies = {}, scripts = {} } = found;
  const hasDependency = "greenroom" in dependencies || "greenroom" in devDependencies;
  const hasScript =
    Object.values(scripts).some((script) => /\bgreenroom\b/.test(script)) || "greenroom" in scripts;
  if (hasDependency && hasScript) return packageJson;
  const changed = {
    ...found,
    ...(hasScript ? {} : { scripts: { ...scripts, greenroom: `greenroom dev ${quoted(agentsFolder)}` } }),
    ...(hasDependency ? {} : { dependencies: sorted({ ...dependencies, greenroom: `^${version}` }) }),
  };
  const indent = /^[ \t]+(?=")/m.exec(packageJson)?.[0] ?? 2;
  return JSON.stringify(changed, null, indent) + (packageJson.endsWith("\n") ? "\n" : "");
}

/** Quoted for the shells of npm scripts on every system. */
const quoted = (folder: string): string => (/^[\w./-]+$/.test(folder) ? folder : `"${folder}"`);

/** The order in which npm keeps dependencies. */
const sorted = (dependencies: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(dependencies).sort(([a], [b]) => a.localeCompare(b)));

/** Adds the lines that are missing. @param keyOf what makes two lines equal */
function withLines(
  text: string | undefined,
  lines: readonly string[],
  keyOf: (line: string) => string,
): string | undefined {
  const present = new Set((text ?? "").split(/\r?\n/).map((line) => keyOf(line.trim())));
  const missing = lines.filter((line) => !present.has(keyOf(line)));
  if (missing.length === 0) return text;
  const begin = text === undefined || text === "" || text.endsWith("\n") ? (text ?? "") : `${text}\n`;
  return `${begin}${missing.join("\n")}\n`;
}
