// `npm run docs`: writes the documents that are generated from the code.
import { writeFileSync } from "node:fs";
import { documents } from "./render.ts";

for (const [name, render] of Object.entries(documents)) {
  writeFileSync(new URL(name, import.meta.url), render());
  console.log(`docs/${name}`);
}
