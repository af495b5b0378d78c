// Waits for JetStream at the start of a process, which may start before its server or cluster.
import { GreenroomError, messageOf } from "../../contracts/errors.ts";
import type { Log } from "../../runtime/log.ts";
import { apiCode } from "./errors.ts";

const PATIENCE_MS = 30_000;
const LOG_EVERY_MS = 5000;
const RETRY_MS = 250;

const NO_SUITABLE_PEERS = 10005;
const STORAGE_RESOURCES_EXCEEDED = 10047;
const REPLICAS_NOT_SUPPORTED = 10074;
const ACCOUNT_NOT_ENABLED = 10039;

/**
 * Retries the work until JetStream is ready. A starting server answers before its JetStream does. A cluster refuses
 * streams until it has a leader and enough nodes.
 *
 * @throws GreenroomError storage_unavailable with advice: at once for a permanent fault, otherwise after 30 s
 */
export async function whenReady<T>(work: () => Promise<T>, replicas: number, log: Log): Promise<T> {
  const startedAt = performance.now();
  let loggedAt = startedAt;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const now = performance.now();
      const permanent = [REPLICAS_NOT_SUPPORTED, STORAGE_RESOURCES_EXCEEDED, ACCOUNT_NOT_ENABLED].includes(
        apiCode(error) ?? 0,
      );
      if (permanent || now - startedAt > PATIENCE_MS) {
        throw new GreenroomError("storage_unavailable", adviceFor(error, replicas), { cause: error });
      }
      if (now - loggedAt > LOG_EVERY_MS) {
        loggedAt = now;
        const seconds = Math.round((now - startedAt) / 1000);
        log.info(`waiting for JetStream: not ready after ${seconds} s (${messageOf(error)})`);
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

function adviceFor(error: unknown, replicas: number): string {
  const reason = messageOf(error);
  switch (apiCode(error)) {
    case REPLICAS_NOT_SUPPORTED:
      return (
        `GREENROOM_REPLICAS is ${replicas}, but NATS_URL leads to a single server, which can keep one copy. ` +
        "Set GREENROOM_REPLICAS=1, or connect to a cluster with enough nodes."
      );
    case NO_SUITABLE_PEERS:
      return (
        `The NATS cluster does not have ${replicas} nodes that can store a copy: ${reason}. Are all nodes up, with ` +
        "JetStream and free max_file_store? Otherwise lower GREENROOM_REPLICAS."
      );
    case STORAGE_RESOURCES_EXCEEDED:
      return `NATS has no space for Greenroom's streams and buckets: ${reason}. Raise max_file_store in its configuration.`;
    default:
      return (
        `JetStream was not ready within ${PATIENCE_MS / 1000} s: ${reason}. Is JetStream enabled? ` +
        "In a cluster, do more than half of the nodes run?"
      );
  }
}
