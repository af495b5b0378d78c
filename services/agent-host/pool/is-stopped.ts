// Whether a process was stopped, as by SIGSTOP: something else than being busy, and told by the system at once.
import { readFileSync } from "node:fs";

/** False also where the system doesn't tell, as on macOS: there a stopped process is one that doesn't answer. */
export function isStopped(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // "1234 (a name) T …": the name may hold anything, parentheses too. A debugger's stop is a small "t".
    return stat.charAt(stat.lastIndexOf(")") + 2) === "T";
  } catch {
    return false;
  }
}
