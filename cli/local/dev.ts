// `greenroom dev`, and `npm start` in this repository.
import { runProject } from "./run-project.ts";

await runProject("dev");
