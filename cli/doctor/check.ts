// A check consists of an observation, which takes time and may fail, and a pure judgement.

/** `note`: a fact about something that nobody uses. */
export type Level = "ok" | "warning" | "failure" | "note" | "skipped";

/** A fact in one or two sentences, and what to do about it. */
export interface Finding {
  readonly level: Level;
  readonly message: string;
  readonly todo?: string;
}

export interface CheckOptions<Sources, Seen> {
  readonly name: string;
  /** A word or two, for people. */
  readonly title: string;
  readonly timeoutMs: number;
  /** Checks that must succeed first. Otherwise this check is skipped. */
  readonly needs?: readonly string[];
  /**
   * Gathers the facts.
   * @param signal aborts at the timeout
   * @throws Error whose message becomes the finding
   */
  observe(sources: Sources, signal: AbortSignal): Promise<Seen>;
  judge(seen: Seen): Finding[];
  /** Advice if the observation fails or times out. */
  readonly todo: string;
}

/** A check without the type of its facts. */
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
export const note = (message: string): Finding => ({ level: "note", message });
export const skipped = (message: string): Finding => ({ level: "skipped", message });

const RANK: readonly Level[] = ["failure", "warning", "ok", "note", "skipped"];

/** The most severe level. A check without findings counts as skipped. */
export const worstOf = (findings: readonly Finding[]): Level =>
  RANK.find((level) => findings.some((finding) => finding.level === level)) ?? "skipped";
