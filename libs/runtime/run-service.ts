// Runs a process: its start, its signals and its orderly stop.
import { randomBytes } from "node:crypto";
import { commonSettings } from "./common-settings.ts";
import { ConfigError, readConfig } from "./config.ts";
import { createLog, type Log, logLevels } from "./log.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { mapStackTraces } from "./stack-traces.ts";
import { type ProcessHealth, serveStatus } from "./status-server.ts";

/** NATS and LiveKit end with the supervisor too, so nothing that takes longer can succeed. */
const ORPHAN_STOP_MS = 3000;
/** npm forwards the terminal's SIGINT, so one Ctrl+C arrives twice. */
const SAME_SIGNAL_MS = 500;
const POLL_PARENT_MS = 500;

export interface Running {
  /** Lets work in progress finish, then returns. Called once. */
  stop(): Promise<void>;
}

interface RunningProcess extends Running {
  health(): ProcessHealth;
}

export interface RunOptions {
  /** How long a stop may take, in ms. */
  readonly stopMs: number;
  /** Handles an escaped error if it belongs to a part of the process that can be restarted alone. */
  readonly ascribe?: (error: unknown) => boolean;
}

export interface ServiceContext {
  readonly log: Log;
  /** Served on GREENROOM_METRICS_PORT once the service runs. */
  readonly metrics: Metrics;
  /** Unique to this process, for example `dispatcher-3f9a1c`. */
  readonly instance: string;
  /** Ends the process after an orderly stop, like SIGTERM, and logs the reason. */
  readonly quit: (reason: string, exitCode: number) => void;
}

/**
 * Runs one service until a signal, the death of its supervisor, or a bug ends it.
 *
 * SIGTERM and SIGINT stop it in order; a second signal ends it immediately. A forked process also stops when its parent
 * is gone, so that nothing outlives a killed supervisor (I10). A process of an npm script stops when its shell is gone. Invalid settings exit with 78 (EX_CONFIG), after which a
 * supervisor does not restart the process.
 */
export async function runService(
  service: string,
  options: RunOptions,
  start: (context: ServiceContext) => Promise<RunningProcess>,
): Promise<void> {
  process.title = `greenroom-${service}`;
  mapStackTraces();
  const level = logLevels.find((known) => known === process.env.GREENROOM_LOG_LEVEL) ?? "info";
  const log = createLog(service, level);
  let running: Running | undefined;
  let stopping = false;

  const quit = (reason: string, exitCode: number, stopMs = options.stopMs) => {
    if (stopping) return;
    stopping = true;
    log.info({ reason }, "stopping");
    const timeout = setTimeout(() => {
      log.warn({ afterMs: stopMs }, "stop timed out; exiting");
      process.exit(exitCode === 0 ? 1 : exitCode);
    }, stopMs);
    timeout.unref();
    Promise.resolve(running?.stop())
      .catch((error: unknown) => log.error({ error }, "failed to stop"))
      .finally(() => process.exit(exitCode));
  };

  let signaledAtMs: number | undefined;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      const now = performance.now();
      if (stopping && now - (signaledAtMs ?? 0) > SAME_SIGNAL_MS) process.exit(1);
      signaledAtMs ??= now;
      quit(signal, 0);
    });
  }
  onShellGone(() => quit("the shell of the npm script is gone", 0));
  const orphaned = () => quit("the supervisor is gone", 0, Math.min(ORPHAN_STOP_MS, options.stopMs));
  process.on("disconnect", orphaned);
  // If the supervisor ended while this process loaded its modules, there is no event.
  if (process.connected === false) return orphaned();
  const { ascribe = () => false } = options;
  process.on("uncaughtException", (error) => {
    if (ascribe(error)) return;
    log.fatal({ error }, "uncaught error; exiting");
    process.exit(70);
  });
  process.on("unhandledRejection", (error) => {
    if (ascribe(error)) return;
    log.fatal({ error }, "unhandled rejection; exiting");
    process.exit(70);
  });

  try {
    const instance = `${service}-${randomBytes(3).toString("hex")}`;
    const metrics = createMetrics(service);
    const started = await start({ log, metrics, instance, quit });
    running = started;
    await offerStatus(metrics, () => started.health(), log);
    log.info({ instance }, "running");
    process.send?.({ type: "running" });
  } catch (error) {
    if (error instanceof ConfigError) {
      log.fatal(error.message);
      process.exit(78);
    }
    log.fatal({ error }, "failed to start");
    process.exit(1);
  }
}

/**
 * Calls `call` when the shell that runs this process for npm is gone. npm signals that shell only, which ends alone.
 * Greenroom's own scripts replace their shell by the process (`exec`).
 */
function onShellGone(call: () => void): void {
  if (process.env.npm_lifecycle_event === undefined || process.send !== undefined) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    call();
  }, POLL_PARENT_MS);
  timer.unref();
}

async function offerStatus(metrics: Metrics, health: () => ProcessHealth, log: Log): Promise<void> {
  const { GREENROOM_METRICS_PORT, GREENROOM_METRICS_BIND } = commonSettings;
  // The service has validated all settings, so these are valid too.
  const settings = { GREENROOM_METRICS_PORT, GREENROOM_METRICS_BIND };
  const config = readConfig(settings, process.env, Object.keys(process.env));
  const port = config.GREENROOM_METRICS_PORT;
  if (port > 0) await serveStatus({ metrics, health, port, bind: config.GREENROOM_METRICS_BIND }, log);
}
