// How a process lives: it names itself, starts, beats, and ends in order.
import { randomBytes } from "node:crypto";
import { commonSettings } from "./common-settings.ts";
import { ConfigError, readConfig } from "./config.ts";
import { createLog, type Log, logLevels } from "./log.ts";
import { createMetrics, type Metrics, serveMetrics } from "./metrics.ts";

/** NATS and LiveKit end with their supervisor too, so there is nothing to finish that would take longer. */
const ORPHAN_STOP_MS = 3000;

export interface Running {
  /** Lets work in hand finish, then answers. Called once. */
  stop(): Promise<void>;
}

export interface ServiceContext {
  readonly log: Log;
  /** Served where GREENROOM_METRICS_PORT says, once the service runs. */
  readonly metrics: Metrics;
  /** Tells two processes of one service apart, as in `dispatcher-3f9a`. */
  readonly instance: string;
  /** Ends the process after an orderly stop, as SIGTERM would; `why` is logged. */
  readonly quit: (reason: string, exitCode: number) => void;
}

/**
 * Runs one service until a signal, the death of its supervisor, or a bug ends it.
 *
 * SIGTERM and SIGINT stop it in order; the second one at once. A process that was forked also stops when its
 * parent goes away, so nothing outlives a killed supervisor. Settings that can't be used exit with 78
 * (EX_CONFIG), on which a supervisor does not try again.
 */
export async function runService(
  service: string,
  options: { stopMs: number },
  start: (context: ServiceContext) => Promise<Running>,
): Promise<void> {
  process.title = `greenroom-${service}`;
  const level = logLevels.find((known) => known === process.env.GREENROOM_LOG_LEVEL) ?? "info";
  const log = createLog(service, level);
  let running: Running | undefined;
  let stopping = false;

  const quit = (reason: string, exitCode: number, stopMs = options.stopMs) => {
    if (stopping) return;
    stopping = true;
    log.info({ reason }, "stopping");
    const impatience = setTimeout(() => {
      log.warn({ afterMs: stopMs }, "stopping took too long; leaving now");
      process.exit(exitCode === 0 ? 1 : exitCode);
    }, stopMs);
    impatience.unref();
    Promise.resolve(running?.stop())
      .catch((error: unknown) => log.error({ error }, "stopping failed"))
      .finally(() => process.exit(exitCode));
  };

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (stopping) process.exit(1);
      quit(signal, 0);
    });
  }
  const orphaned = () => quit("the supervisor is gone", 0, Math.min(ORPHAN_STOP_MS, options.stopMs));
  process.on("disconnect", orphaned);
  // It may have gone while this process was still loading its modules; then nobody says so again.
  if (process.connected === false) return orphaned();
  process.on("uncaughtException", (error) => {
    log.fatal({ error }, "a bug; the process ends and is to be started again");
    process.exit(70);
  });
  process.on("unhandledRejection", (error) => {
    log.fatal(
      { error },
      "a promise failed that nobody waited for; the process ends and is to be started again",
    );
    process.exit(70);
  });

  try {
    const instance = `${service}-${randomBytes(3).toString("hex")}`;
    const metrics = createMetrics(service);
    running = await start({ log, metrics, instance, quit });
    await offerMetrics(metrics, log);
    log.info({ instance }, "running");
    process.send?.({ type: "running" });
  } catch (error) {
    if (error instanceof ConfigError) {
      log.fatal(error.message);
      process.exit(78);
    }
    log.fatal({ error }, "could not start");
    process.exit(1);
  }
}

async function offerMetrics(metrics: Metrics, log: Log): Promise<void> {
  const { GREENROOM_METRICS_PORT, GREENROOM_METRICS_BIND } = commonSettings;
  // The service itself has read all settings, so that these can be used too.
  const settings = { GREENROOM_METRICS_PORT, GREENROOM_METRICS_BIND };
  const config = readConfig(settings, process.env, Object.keys(process.env));
  const port = config.GREENROOM_METRICS_PORT;
  if (port > 0) await serveMetrics(metrics, { port, bind: config.GREENROOM_METRICS_BIND }, log);
}
