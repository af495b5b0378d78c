// Runs the selected suites group by group and adds up their results.
import { join } from "node:path";
import { repositoryRoot } from "../../libs/runtime/compiled.ts";
import type { TestArguments } from "./arguments.ts";
import { chooseFiles, SLACK, type TestFile } from "./choose-files.ts";
import { type FileReport, readFileReports } from "./file-reports.ts";
import { runCommand } from "./run-command.ts";
import { fullSuites, node24Suites, quickSuites, workersOf } from "./suites.ts";
import { summaryOf, sumOf, type Tally } from "./tally.ts";
import { readTimings, secondsOf } from "./timings.ts";
import { listFiles, onNode24, vitestCommand } from "./vitest-command.ts";

export interface TestRunOptions {
  readonly env: NodeJS.ProcessEnv;
  /** The directory for reports. */
  readonly directory: string;
  readonly selected: TestArguments;
}

/** The time that a suite gets to stop at the time limit. */
const STOP_MS = 20_000;

interface VitestOptions {
  readonly isOnNode24?: boolean;
  /** At the time limit, files that have not run count as left out instead of failed. */
  readonly mayBeCut?: boolean;
}

export class TestRun {
  readonly #options: TestRunOptions;
  readonly #tallies: Tally[] = [];
  readonly #failures: string[] = [];
  readonly #ran: string[] = [];
  readonly #left: string[] = [];
  #isInterrupted = false;
  readonly reports: FileReport[] = [];

  constructor(options: TestRunOptions) {
    this.#options = options;
  }

  /** @returns the exit code: 0 only if at least one test ran and none failed */
  async go(): Promise<number> {
    const { vitest, isFull } = this.#options.selected;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.once(signal, () => {
        this.#isInterrupted = true;
      });
    }
    if (vitest.length > 0) await this.#runSelected(vitest, isFull);
    else await this.#runAll(isFull);
    const { passed, failed } = sumOf(this.#tallies);
    if (passed + failed === 0) this.#failures.push("no tests ran");
    for (const failure of this.#failures) console.error(`FAILED: ${failure}`);
    return failed > 0 || this.#failures.length > 0 ? 1 : 0;
  }

  summary(): string {
    return summaryOf(sumOf(this.#tallies));
  }

  /** Runs vitest with the given arguments; without `--project`, in every suite of the command. */
  async #runSelected(args: readonly string[], isFull: boolean): Promise<void> {
    const hasProject = args.some((word) => word.startsWith("--project"));
    const suites = isFull ? [...quickSuites, ...fullSuites] : quickSuites;
    await this.#vitest("the tests", [...(hasProject ? [] : projectArguments(suites)), ...args]);
  }

  async #runAll(isFull: boolean): Promise<void> {
    await this.#check("biome", ["node_modules/.bin/biome", "check", "."]);
    await this.#check("tsc", ["node_modules/.bin/tsc", "--noEmit"]);
    await this.#vitest(quickSuites.join(", "), projectArguments(quickSuites));
    if (!isFull) return;
    if (!this.#isInterrupted) await this.#runOnNode24();
    for (const suite of fullSuites) if (!this.#isInterrupted) await this.#runSuite(suite);
    console.log(`\nran: ${[quickSuites.join(", "), ...this.#ran].join("; ")}`);
    console.log(`left out: ${this.#left.length === 0 ? "nothing" : this.#left.join("; ")}`);
  }

  /** Runs on Node.js 24, the image's version, from npm's package `node`. */
  async #runOnNode24(): Promise<void> {
    const what = `${node24Suites.join(", ")} on Node 24`;
    const seconds = (await Promise.all(node24Suites.map((suite) => listFiles(suite, this.#options.env))))
      .flat()
      .reduce((sum, { suite, file }) => sum + secondsOf(readTimings(), suite, file) / workersOf(suite), 0);
    if (seconds * SLACK > this.#msLeft() / 1000) {
      this.#left.push(what);
      return;
    }
    this.#ran.push(what);
    await this.#vitest(what, projectArguments(node24Suites), { isOnNode24: true, mayBeCut: true });
  }

  /** Runs the files of a suite that fit into the remaining time. */
  async #runSuite(suite: string): Promise<void> {
    const { env } = this.#options;
    const files = await listFiles(suite, env);
    const { run, left } = chooseFiles(files, readTimings(), this.#msLeft() / 1000);
    if (left.length > 0) this.#left.push(`${suite}: ${namesOf(left)}`);
    if (run.length === 0) return;
    this.#ran.push(left.length === 0 ? suite : `${suite}: ${namesOf(run)}`);
    await this.#vitest(suite, ["--project", suite, ...run.map(({ file }) => file)], { mayBeCut: true });
  }

  async #check(name: string, [program = "", ...args]: readonly string[]): Promise<void> {
    const { env } = this.#options;
    const isGood = (await runCommand(program, args, { env, cwd: repositoryRoot })).exitCode === 0;
    this.#tallies.push({ passed: isGood ? 1 : 0, failed: isGood ? 0 : 1, skipped: 0 });
    if (!isGood) this.#failures.push(name);
  }

  async #vitest(
    what: string,
    args: readonly string[],
    { isOnNode24 = false, mayBeCut = false }: VitestOptions = {},
  ): Promise<void> {
    const report = join(this.#options.directory, `report-${this.#tallies.length}.jsonl`);
    const env = { ...this.#options.env, TEST_FILE_REPORT: report };
    const command = vitestCommand(["run", ...args]);
    const [program, ...words] = isOnNode24 ? onNode24(command) : command;
    const startedAt = performance.now();
    const { exitCode, wasStopped } = await runCommand(program, words, {
      env,
      cwd: repositoryRoot,
      timeoutMs: this.#msLeft(),
      stopMs: STOP_MS,
    });
    const reports = await readFileReports(report);
    if (!isOnNode24) this.reports.push(...reports);
    const tally = sumOf(reports);
    const isCut = wasStopped && mayBeCut && tally.failed === 0;
    // A suite that was stopped or did not even begin counts as one more failure.
    const isUncounted = exitCode !== 0 && tally.failed === 0 && !isCut;
    this.#tallies.push(isUncounted ? { ...tally, failed: 1 } : tally);
    if (isCut) this.#left.push(`the rest of ${what} at the time limit`);
    else if (wasStopped) this.#failures.push(`${what}: stopped at the time limit`);
    else if (exitCode !== 0) this.#failures.push(what);
    for (const { suite, file, failures } of reports)
      for (const failure of failures) this.#failures.push(`${suite} ${file} > ${failure}`);
    console.log(`${what}: ${summaryOf(tally)}, ${((performance.now() - startedAt) / 1000).toFixed(0)} s\n`);
  }

  #msLeft(): number {
    const { untilMs } = this.#options.selected;
    return untilMs === undefined ? Number.POSITIVE_INFINITY : untilMs - Date.now();
  }
}

const projectArguments = (suites: readonly string[]): string[] =>
  suites.flatMap((suite) => ["--project", suite]);

const namesOf = (files: readonly TestFile[]): string =>
  files.map(({ file }) => file.replace(/^.*\/(.*)\.test\.ts$/, "$1")).join(" ");
