// The prose rules and the retired names, against samples and against every file of the project.
import { describe, expect, test } from "vitest";
import { findProse, findRetiredNames } from "./prose/find.ts";
import { readProject } from "./prose/read-files.ts";
import { readProse } from "./prose/read-prose.ts";
import { retiredNames } from "./prose/retired-names.ts";
import type { Finding } from "./prose/rules.ts";

const rulesIn = (path: string, text: string): string[] => findProse([{ path, text }]).map(({ rule }) => rule);
const inComment = (said: string): string[] => rulesIn("libs/a.ts", `\n\n// ${said}\n`);

describe("checkProse", () => {
  test.each([
    "The host is told the epoch.",
    "The record says that the session ended.",
    "The dispatcher says so in its log.",
    "Closes the room of whoever joined late.",
    "Ports, and by whom they are used.",
    "The next agent begins anew.",
    "The newest revision stands in the bucket.",
    "An attempt that came to nothing costs no failure.",
    "Takes the message and makes a record of it.",
    "Messages in hand are finished first.",
    "Another dispatcher takes up the launch.",
    "Handoffs are taken in by any role.",
    "The former agent leaves the room.",
    "Other sessions wait meanwhile.",
    "A caller joins an existing room, as LiveKit SIP does.",
    "Waits so long for the answer.",
    "Which records are to be purged.",
    "The request failed; it is tried again.",
    "A message that is not acked comes again.",
    "A stream of ours is missing.",
  ])("finds a word to replace: %s", (said) => {
    expect(inComment(said)).toContain("word");
  });

  test.each([
    'The answer says "not found".',
    "The pool takes up to 5 s.",
    "A stand-in for LiveKit SIP.",
    "The header stands for the tenant.",
    "The queue is full because of it.",
    "The client waits so long that it gives up.",
    "Purges ended sessions. It keeps the last minute.",
    "Which of the two is newer?",
    "Removes `told` and `anew` from the text.",
  ])("accepts plain English: %s", (said) => {
    expect(inComment(said)).toEqual([]);
  });

  test.each([
    "It closes the room.",
    "What a host reports.",
    "Who owns the lease.",
    "So a dispatcher retries.",
    "One that is lost has no slot.",
    "The record is saved. What is lost is requested later.",
  ])("finds a sentence that opens without a noun: %s", (said) => {
    expect(inComment(said)).toEqual(["opener"]);
  });

  test("holds a file's first line to a noun phrase or an imperative", () => {
    expect(rulesIn("libs/a.ts", "// How long a lease lives.\n")).toEqual(["opener"]);
    expect(rulesIn("cli/a.ts", "#!/usr/bin/env node\n// Whether the ports are free.\n")).toEqual(["opener"]);
    expect(rulesIn("libs/a.ts", "// The lifetime of a lease.\n")).toEqual([]);
    expect(rulesIn("docs/a.md", "# What happens when a host dies\n")).toEqual([]);
  });

  test("allows 25 words in a sentence, and one semicolon", () => {
    const words = (count: number) => `Slots${" free".repeat(count - 1)}.`;
    expect(inComment(words(25))).toEqual([]);
    expect(inComment(words(26))).toEqual(["long"]);
    expect(inComment(`${words(20)} ${words(20)}`)).toEqual([]);
    expect(inComment("Slots are warm; hosts are live.")).toEqual([]);
    expect(inComment("Slots are warm; hosts are live; rooms are open.")).toEqual(["semicolons"]);
  });

  test.each([
    ["rejects a stale epoch", true],
    ["is redelivered after a restart", true],
    ["never assigns twice", true],
    ["ends with an error", true],
    ["can't be read by another tenant", true],
    ["a stale epoch is rejected", false],
    ["sessions wait in order", false],
    ["that is lost gets no slot", false],
    ["when a host dies", false],
    ["%s", true],
    ["$title", true],
  ])("requires a test title to begin with a verb: %s", (title, isGood) => {
    const found = isGood ? [] : ["title"];
    expect(rulesIn("test/a.test.ts", `test("${title}", () => {});`)).toEqual(found);
    expect(rulesIn("test/a.test.ts", `it.each([1])('${title}', () => {});`)).toEqual(found);
    expect(rulesIn("test/a.test.ts", `test.skipIf(x)(\`${title}\`, () => {});`)).toEqual(found);
    expect(rulesIn("test/a.test.ts", `describe("${title}", () => {});`)).toEqual([]);
  });

  test("finds a title that states a duty instead of a fact", () => {
    expect(rulesIn("test/a.test.ts", 'test("rejects what it should", () => {});')).toEqual(["title"]);
    expect(rulesIn("test/a.test.ts", 'describe.each([1])("hosts that Should go", () => {});')).toEqual([
      "title",
    ]);
  });

  test("limits the length of the README and of ARCHITECTURE", () => {
    expect(rulesIn("README.md", `${"\n".repeat(119)}x`)).toEqual([]);
    expect(rulesIn("README.md", `${"\n".repeat(120)}x`)).toEqual(["length"]);
    expect(rulesIn("ARCHITECTURE.md", "x".repeat(201))).toEqual(["length"]);
    expect(rulesIn("docs/tasks.md", "x".repeat(201))).toEqual([]);
  });
});

describe("readProse", () => {
  const proseOf = (path: string, text: string) =>
    readProse({ path, text }).map(({ kind, line, text }) => [kind, line, text]);

  test("reads comments, one paragraph each", () => {
    const code = [
      "// One line,",
      "// and its next.",
      "",
      "const a = 1; // Behind code.",
      "/**",
      " * A paragraph",
      " * with `code` in it.",
      " *",
      " * @param name the tenant's name",
      " */",
      "// biome-ignore lint/x/y: a directive",
    ].join("\n");
    expect(proseOf("libs/a.ts", code)).toEqual([
      ["comment", 1, "One line,\nand its next."],
      ["comment", 4, "Behind code."],
      ["comment", 6, "A paragraph\nwith `x` in it."],
      ["comment", 9, "the tenant's name"],
    ]);
  });

  test("reads texts in literals, and not names, code or patterns", () => {
    const code = [
      'import { a } from "./a b c d.ts";',
      'const key = "session.record";',
      `const text = \`Port \${port} is taken by another process\`;`,
      'throw new Error("No host is " +',
      `  \`ready for \${profile}.\`);`,
      "const pattern = /the room is told/;",
      'const html = "<p>the room is told</p>";',
    ].join("\n");
    expect(proseOf("libs/a.ts", code)).toEqual([
      ["text", 3, "Port `x` is taken by another process"],
      ["text", 4, "No host is\nready for `x`."],
    ]);
  });

  test("reads what Markdown and HTML show, without code", () => {
    const markdown =
      "# Hosts\n\nA host\nhas [slots](x.md).\n\n```\nno prose\n```\n- one\n\n| a | b |\n|---|---|\n";
    expect(proseOf("docs/a.md", markdown)).toEqual([
      ["heading", 1, "Hosts"],
      ["paragraph", 3, "A host\nhas [slots]."],
      ["paragraph", 9, "one"],
      ["paragraph", 11, "a"],
      ["paragraph", 11, "b"],
    ]);
    const html = "<p>Start a session</p>\n<script>const a = '>b<';</script>\n<b title='x'>Room</b>";
    expect(proseOf("a.html", html)).toEqual([
      ["paragraph", 1, "Start a session"],
      ["paragraph", 3, "Room"],
    ]);
  });

  test("reads the comments of configuration", () => {
    expect(proseOf("Dockerfile", "#!x\n# The image\n# of all.\nRUN x # y\n")).toEqual([
      ["comment", 2, "The image\nof all."],
    ]);
  });
});

describe("findRetiredNames", () => {
  const namesIn = (path: string, text: string): string[] =>
    findRetiredNames([{ path, text }]).map(({ excerpt, line }) => `${line} ${excerpt}`);

  test("finds names in code and in the path of a file", () => {
    expect(namesIn("services/stage-link.ts", "\nconst isTainted = old.why;")).toEqual([
      "0 stage",
      "2 Tainted",
      "2 .why",
    ]);
  });

  test("leaves the names that replaced them alone", () => {
    const replacements = retiredNames
      .map(({ instead }) => instead)
      .filter((instead) => !/see docs/.test(instead));
    expect(namesIn("libs/a.ts", replacements.join("\n"))).toEqual([]);
  });

  test("leaves ordinary English and other systems' names alone", () => {
    const text =
      "a multi-stage build, the outbound calls, tasks.outbound.acme, MediaRecorder, why not, troubleshooting";
    expect(namesIn("docs/a.md", text)).toEqual([]);
  });
});

describe("the project", () => {
  const files = readProject();
  const pieces = files.flatMap((file) => readProse(file));
  const where = ({ path, line, excerpt, advice }: Finding) => `${path}:${line} ${excerpt} → ${advice}`;

  test("gives the checks below something to read", () => {
    expect(files.length).toBeGreaterThan(600);
    expect(pieces.length).toBeGreaterThan(5000);
  });

  test("has no findings in its prose", () => {
    expect(findProse(files).map(where)).toEqual([]);
  });

  test("uses no retired name", () => {
    expect(findRetiredNames(files).map(where)).toEqual([]);
  });
});
