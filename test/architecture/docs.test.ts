// Compares the generated documents with the code.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { documents } from "../../docs/render.ts";

describe("generated documents", () => {
  it.each(Object.keys(documents))("docs/%s equals the output of `npm run docs`", (name) => {
    const stored = readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8");
    expect(stored).toBe(documents[name]?.());
  });
});
