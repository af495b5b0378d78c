// Looks at what `npm pack` would put into the package. test/full/system/package.test.ts installs it.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");
const { bin, exports, files, main } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

const pack = ["pack", "--dry-run", "--json", "--ignore-scripts"];
const packing = promisify(execFile)("npm", pack, { cwd: root });

async function packedFiles(): Promise<string[]> {
  const [answer] = Object.values(JSON.parse((await packing).stdout));
  return (answer as { files: { path: string }[] }).files.map(({ path }) => path);
}

describe("the package", () => {
  it("has compiled code, and neither sources nor tests nor anything hidden", async () => {
    const packed = await packedFiles();
    const others = packed.filter((path) => !path.startsWith("dist/"));
    expect(others.sort()).toEqual(["LICENSE", "README.md", "package.json"]);
    expect(packed.filter((path) => /\.ts$|^dist\/test\/|\/\./.test(path.replace(/\.d\.ts$/, "")))).toEqual(
      [],
    );
    expect(files).toContain("dist");
  });

  it("has its command and its exports, and the programs that they start", async () => {
    const packed = await packedFiles();
    expect(main).toBeUndefined();
    for (const target of [bin.greenroom, exports["./agent"].default, exports["./package.json"]])
      expect(packed).toContain(target.replace(/^\.\//, ""));
    for (const program of ["gateway", "control", "agent-host"])
      expect(packed).toContain(`dist/services/${program}/main.js`);
    expect(packed).toContain("dist/libs/runtime/setting-names.json");
    expect(packed).toContain("dist/services/gateway/http/public/index.html");
  });

  it("has types for greenroom/agent, which prepack writes beside the code", () => {
    const { compilerOptions, files: typed } = JSON.parse(
      readFileSync(join(root, "tsconfig.types.json"), "utf8"),
    );
    const outputs = typed.map(
      (file: string) => `./${compilerOptions.outDir}/${file.replace(/\.ts$/, ".d.ts")}`,
    );
    expect(outputs).toEqual([exports["./agent"].types]);
  });

  it("begins its command with the line that runs Node.js", () => {
    expect(readFileSync(join(root, bin.greenroom), "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
  });
});
