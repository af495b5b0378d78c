// Waiting for JetStream at the start of a process: a server or a cluster may come up after it.
import { GreenroomError, messageOf } from "../../contracts/errors.ts";
import type { Log } from "../../runtime/log.ts";
import { apiCode } from "./errors.ts";

const PATIENCE_MS = 30_000;
const SAY_EVERY_MS = 5000;
const AGAIN_MS = 250;

const NO_SUITABLE_PEERS = 10005;
const STORAGE_RESOURCES_EXCEEDED = 10047;
const REPLICAS_NOT_SUPPORTED = 10074;
const ACCOUNT_NOT_ENABLED = 10039;

/**
 * Does the work as soon as JetStream lets it: a server that just started answers before its JetStream does, and
 * a cluster refuses streams until it has a leader and enough nodes.
 *
 * @throws GreenroomError storage_unavailable saying what is missing and what to do: at once for what waiting
 *   doesn't mend, else after 30 s
 */
export async function whenReady<T>(work: () => Promise<T>, replicas: number, log: Log): Promise<T> {
  const startedAt = performance.now();
  let saidAt = startedAt;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const now = performance.now();
      const permanent = [REPLICAS_NOT_SUPPORTED, STORAGE_RESOURCES_EXCEEDED, ACCOUNT_NOT_ENABLED].includes(
        apiCode(error) ?? 0,
      );
      if (permanent || now - startedAt > PATIENCE_MS) {
        throw new GreenroomError("storage_unavailable", whatToDo(error, replicas), { cause: error });
      }
      if (now - saidAt > SAY_EVERY_MS) {
        saidAt = now;
        const seconds = Math.round((now - startedAt) / 1000);
        log.info(`JetStream is not ready after ${seconds} s (${messageOf(error)}); it is waited for`);
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

function whatToDo(error: unknown, replicas: number): string {
  const said = messageOf(error);
  switch (apiCode(error)) {
    case REPLICAS_NOT_SUPPORTED:
      return (
        `GREENROOM_REPLICAS is ${replicas}, but NATS_URL leads to a single server, which can keep one copy. ` +
        "Set GREENROOM_REPLICAS=1, or connect to a cluster of that many nodes."
      );
    case NO_SUITABLE_PEERS:
      return (
        `The NATS cluster has no ${replicas} nodes that could keep a copy each: ${said}. Are all nodes up, with ` +
        "JetStream and max_file_store free? Else lower GREENROOM_REPLICAS."
      );
    case STORAGE_RESOURCES_EXCEEDED:
      return `NATS has no room for Greenroom's streams and buckets: ${said}. Raise max_file_store in its configuration.`;
    default:
      return (
        `JetStream did not come up within ${PATIENCE_MS / 1000} s: ${said}. Is nats-server started with JetStream, ` +
        "and in a cluster, do more than half of the nodes run?"
      );
  }
}
