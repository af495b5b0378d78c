// Retention: creates a deletion job at an interval for each tenant with a limit of days.
import type { Bus } from "../../libs/bus/bus.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { dailyKpis, deletionJobs, rollups, sessions } from "../../libs/contracts/buckets.ts";
import type { DeletionJob } from "../../libs/contracts/privacy/deletion.ts";
import { isoNow, repeat } from "../../libs/runtime/clock.ts";
import { daysFor, type RetentionDays } from "./retention-days.ts";

export interface RetentionDeps extends ServiceDeps {
  readonly instance: string;
  readonly nextWriteId: () => string;
  readonly settings: {
    readonly intervalMs: number;
    readonly days: RetentionDays;
    /** The deployment's own tenant, which may have no data yet. */
    readonly tenant: string;
  };
}

/** How often to check whether a run is due. Runs are days apart. */
const CHECK_MS = 30_000;
const DAY_MS = 24 * 60 * 60 * 1000;

/** Several instances may run this: each run has a number, which only one of them can create. */
export function startRetention(deps: RetentionDeps): () => void {
  const { clock, log, settings } = deps;
  return repeat(
    clock,
    Math.min(CHECK_MS, settings.intervalMs),
    () => createDueJobs(deps),
    (error) => log.warn({ error, retrying: true }, "failed to check for data that are too old"),
  );
}

export async function createDueJobs(deps: RetentionDeps): Promise<void> {
  const { bus, clock, log, nextWriteId, settings } = deps;
  const jobs = (await bus.kv.entries(deletionJobs)).map(({ value }) => value);
  for (const tenant of await tenantsOf(bus, settings)) {
    const days = daysFor(settings.days, tenant);
    if (days === undefined) continue;
    const mine = jobs.filter((job) => job.kind === "retention" && job.tenant === tenant);
    const number = nextRun(mine, clock.now(), settings.intervalMs);
    if (number === undefined) continue;
    const job: DeletionJob = {
      v: 1,
      id: runId(number),
      tenant,
      kind: "retention",
      before: new Date(clock.now() - days * DAY_MS).toISOString(),
      askedBy: "schedule",
      askedAt: isoNow(clock),
      state: "asked",
      ...{ takeovers: 0, passes: 0, counts: {}, sessions: 0, tasks: 0, heartbeat: 0 },
      writeId: nextWriteId(),
    };
    if ((await bus.kv.update(deletionJobs, job, 0)) !== undefined)
      log.info({ job: job.id, tenant, before: job.before }, "created a retention job");
  }
}

const runId = (number: number): string => `retention-${String(number).padStart(6, "0")}`;

/**
 * The number of the due run, if any. The interval is calendar time, measured from the creation of the last run by its
 * creator's clock.
 */
export function nextRun(
  runs: readonly Pick<DeletionJob, "id" | "askedAt" | "state">[],
  nowMs: number,
  intervalMs: number,
): number | undefined {
  const numbered = runs.map((run) => ({ ...run, number: Number(run.id.split("-").at(-1)) }));
  const last = numbered.sort((a, b) => a.number - b.number).at(-1);
  if (last === undefined) return 1;
  if (last.state !== "done" && last.state !== "failed") return undefined;
  return nowMs - Date.parse(last.askedAt) >= intervalMs ? last.number + 1 : undefined;
}

/** All tenants with stored data. The daily KPIs outlive all data that retention deletes. */
async function tenantsOf(bus: Bus, { days, tenant }: RetentionDeps["settings"]): Promise<string[]> {
  const entries = await Promise.all([
    bus.kv.entries(sessions),
    bus.kv.entries(rollups),
    bus.kv.entries(dailyKpis),
  ]);
  const seen = entries.flat().map(({ key }) => key.split(".")[0] ?? "");
  return [...new Set([tenant, ...days.tenants.keys(), ...seen])].sort();
}
