// Compares the routes, settings, subjects, commands and tests in docs/features.md with the code.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { programs } from "../../cli/programs.ts";

const root = new URL("../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), "utf8");
const textOf = (folder: string): string =>
  readdirSync(new URL(folder, root), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => read(`${folder}/${name}`))
    .join("\n");

const gateway = textOf("services/gateway");
const contracts = read("docs/reference/contracts.md");
const settings = read("docs/reference/settings.md");
const { scripts, exports } = JSON.parse(read("package.json"));

interface Row {
  readonly capability: string;
  readonly givenBy: string[];
  readonly shownBy: string;
}

const rows: Row[] = read("docs/features.md")
  .split("\n")
  .filter((line) => line.startsWith("| ") && !line.startsWith("| ---") && !line.startsWith("| capability"))
  .map((line) => {
    const [capability = "", givenBy = "", shownBy = ""] = line
      .split(" | ")
      .map((cell) => cell.replace(/^\| | \|$/g, ""));
    return { capability, givenBy: [...givenBy.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name), shownBy };
  });

/** @returns a description of a name that does not exist; undefined if it exists */
function missing(name: string): string | undefined {
  const [method = "", path = ""] = name.split(" ");
  if (["GET", "POST", "PUT", "DELETE"].includes(method)) {
    // Some routes that differ only in their last word are registered together.
    const last = `(${escaped(path.split("/").at(-1) ?? "")}|\\$\\{\\w+\\})`;
    const whole = `${escaped(path.slice(0, path.lastIndexOf("/") + 1))}${last}`;
    const route = new RegExp(`\\.${method.toLowerCase()}(<[^(]*>)?\\(\\s*["'\`]${whole}["'\`]`);
    return route.test(gateway) || (path === "/" && gateway.includes("index.html"))
      ? undefined
      : `the route ${name}`;
  }
  if (name.startsWith("npm ")) {
    const script = name.replace(/^npm (run )?/, "");
    return scripts[script] === undefined ? `the command ${name}` : undefined;
  }
  if (name.startsWith("greenroom ")) return programs.has(path) ? undefined : `the command ${name}`;
  if (name.startsWith("docker compose ")) {
    const [, service] = name.match(/--scale ([a-z-]+)=\d+$/) ?? [];
    const isThere = service === undefined || composeFile.includes(`\n  ${service}:\n`);
    return isThere ? undefined : `the service of ${name}`;
  }
  if (/^[A-Z_]+$/.test(name)) return settings.includes(`\`${name}\``) ? undefined : `the setting ${name}`;
  if (name.startsWith("greenroom/"))
    return exports[`./${name.split("/")[1]}`] ? undefined : `the export ${name}`;
  return isKnownWord(name) ? undefined : `the subject, bucket or export ${name}`;
}

/** A bucket or subject of the contracts, an event of handoffs, or something that agent files export or import. */
function isKnownWord(name: string): boolean {
  const event = name.match(/^runtime\.(\w+)$/)?.[1];
  if (event !== undefined) return [`"${event}"`, name].some((word) => handoffs.includes(word));
  if (name === "pool") return agentFile.includes("export const pool");
  if (name === "ready()") return agentApi.includes("export function ready()");
  return contracts.includes(`\`${name.split("<")[0]}`);
}

const handoffs = read("libs/contracts/claims/claim.ts");
const agentApi = read("services/agent-host/agent-process/agent-api.ts");
const agentFile = read("agents/echo.ts");
const composeFile = read("deploy/compose.yaml");
const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");

describe("docs/features.md", () => {
  it("has rows, each with its implementation and its test", () => {
    expect(rows.length).toBeGreaterThan(50);
    for (const row of rows) expect(row.givenBy, row.capability).not.toEqual([]);
  });

  it.each(rows)("names an existing implementation of: $capability", ({ givenBy }) => {
    expect(givenBy.flatMap((name) => missing(name) ?? [])).toEqual([]);
  });

  it.each(rows)("names an existing test of: $capability", ({ shownBy }) => {
    const tests = [...shownBy.matchAll(/`([a-z/-]+)`: `([^`]+)`/g)];
    expect(tests.map(([whole]) => whole).join("<br>")).toBe(shownBy);
    for (const [, file = "", title = ""] of tests) {
      const path = `test/${file}.test.ts`;
      expect(existsSync(new URL(path, root)), `${shownBy} names no file of tests`).toBe(true);
      // Some titles are templates for several cases, so a part of one is enough.
      expect(read(path).includes(title), `${path} has no test "${title}"`).toBe(true);
      expect(title.length).toBeGreaterThan(10);
    }
  });
});
