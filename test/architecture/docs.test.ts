// Compares the generated documents, and the list of setting names, with the code.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { documents } from "../../docs/render.ts";

describe("generated documents", () => {
  it.each(Object.keys(documents))("docs/%s is what `npm run docs` writes", (name) => {
    const stored = readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8");
    expect(stored).toBe(documents[name]?.());
  });
});
