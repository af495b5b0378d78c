// `greenroom start`.
import { runProject } from "./run-project.ts";

await runProject("start");
