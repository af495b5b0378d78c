// The additions of `greenroom init` to a project.
import { describe, expect, test } from "vitest";
import { addToProject, type ProjectFacts } from "../../../../cli/init/add-to-project.ts";

const facts: ProjectFacts = {
  packageJson:
    '{\n    "name": "mine",\n    "dependencies": {\n        "zod": "^4.0.0"\n    },\n    "files": []\n}',
  gitignore: undefined,
  envExample: "# keys\nexport DEEPGRAM_API_KEY=",
  version: "1.2.3",
  agentsFolder: "src",
  keys: ["DEEPGRAM_API_KEY", "OPENAI_API_KEY"],
};

/** The facts of the project after `init`. */
const initialized = (before: ProjectFacts): ProjectFacts => {
  const changes = addToProject(before);
  return {
    ...before,
    packageJson: changes.get("package.json") ?? before.packageJson,
    gitignore: changes.get(".gitignore") ?? before.gitignore,
    envExample: changes.get(".env.example") ?? before.envExample,
  };
};

describe("addToProject", () => {
  test("adds the dependency and a script, and keeps everything else and the indentation", () => {
    const { packageJson } = initialized(facts);
    expect(packageJson).toMatch(/^\{\n {4}"name": "mine"/);
    expect(packageJson.endsWith("}")).toBe(true);
    expect(JSON.parse(packageJson)).toEqual({
      name: "mine",
      dependencies: { greenroom: "^1.2.3", zod: "^4.0.0" },
      files: [],
      scripts: { greenroom: "greenroom dev src" },
    });
  });

  test("adds the missing keys and the data folder", () => {
    const { envExample, gitignore } = initialized(facts);
    expect(envExample).toBe("# keys\nexport DEEPGRAM_API_KEY=\nOPENAI_API_KEY=\n");
    expect(gitignore).toBe(".greenroom/\n");
  });

  test("changes nothing the second time", () => {
    expect([...addToProject(initialized(facts))]).toEqual([]);
  });

  test("leaves a script, a dependency and an ignored folder as they are", () => {
    const packageJson = JSON.stringify({
      scripts: { dev: "greenroom dev lib" },
      devDependencies: { greenroom: "file:../greenroom.tgz" },
    });
    expect([...addToProject({ ...facts, packageJson, gitignore: "/.greenroom\n", keys: [] })]).toEqual([]);
  });
});
