// What a check is: it looks, which may take time and fail, and judges what it saw, which is pure.

export type Level = "ok" | "warning" | "failure" | "skipped";

/** One or two plain sentences: what is, and what to do about it. */
export interface Finding {
  readonly level: Level;
  readonly message: string;
  readonly todo?: string;
}

export interface CheckOptions<Sources, Seen> {
  readonly name: string;
  /** For people, in a word or two. */
  readonly title: string;
  readonly timeoutMs: number;
  /** Checks that must not have failed or been skipped; else this one has nothing to look at. */
  readonly needs?: readonly string[];
  /** Gathers what is to be judged. @throws Error whose message is a failure's text. @param signal aborts when time is over */
  observe(sources: Sources, signal: AbortSignal): Promise<Seen>;
  judge(seen: Seen): Finding[];
  /** What to do when it could not look, or not in time. */
  readonly todo: string;
}

/** A check whose two halves fit each other, whatever it looks at. */
export interface Check<Sources> extends Omit<CheckOptions<Sources, never>, "observe" | "judge"> {
  run(sources: Sources, signal: AbortSignal): Promise<Finding[]>;
}

export type CheckWith<Sources, Seen> = Check<Sources> & Pick<CheckOptions<Sources, Seen>, "judge">;

export const check = <Sources, Seen>(options: CheckOptions<Sources, Seen>): CheckWith<Sources, Seen> => ({
  ...options,
  run: async (sources, signal) => options.judge(await options.observe(sources, signal)),
});

export const ok = (message: string): Finding => ({ level: "ok", message });
export const warning = (message: string, todo: string): Finding => ({ level: "warning", message, todo });
export const failure = (message: string, todo: string): Finding => ({ level: "failure", message, todo });
export const skipped = (message: string): Finding => ({ level: "skipped", message });

const RANK: readonly Level[] = ["failure", "warning", "ok", "skipped"];

/** The worst of what a check found; one that found nothing to look at was skipped. */
export const worstOf = (findings: readonly Finding[]): Level =>
  RANK.find((level) => findings.some((finding) => finding.level === level)) ?? "skipped";
