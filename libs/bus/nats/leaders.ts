// Keeps the leaders of a stream and of its relief on two nodes, so that no node's death takes both.
import type { JetStreamManager, NatsConnection, StreamInfo } from "nats";
import { allChannels } from "../../contracts/streams.ts";
import type { Log } from "../../runtime/log.ts";
import { REQUEST_TIMEOUT_MS } from "../delivery-rules.ts";

/**
 * Looks who leads what, and moves the relief's leader away from its stream's, which takes some milliseconds. On a
 * single server there is nothing to move. Several who do so at once do no harm.
 */
export async function keepLeadersApart(
  connection: NatsConnection,
  manager: JetStreamManager,
  log: Log,
): Promise<void> {
  for (const { stream, overflow: relief } of allChannels) {
    if (relief === undefined) continue;
    const [of, reliefs] = await Promise.all([
      manager.streams.info(stream),
      manager.streams.info(relief.stream),
    ]);
    const leader = of.cluster?.leader;
    if (leader === undefined || leader === "" || reliefs.cluster?.leader !== leader) continue;
    const other = readyReplica(reliefs);
    if (other === undefined) continue; // Another node is away or behind; it is looked for again.
    const wish = JSON.stringify({ placement: { preferred: other } });
    await connection.request(`$JS.API.STREAM.LEADER.STEPDOWN.${relief.stream}`, wish, {
      timeout: REQUEST_TIMEOUT_MS,
    });
    log.info(
      { stream: relief.stream, from: leader, to: other },
      "a stream's relief is led by another node now",
    );
  }
}

const readyReplica = ({ cluster }: StreamInfo): string | undefined =>
  cluster?.replicas?.find(({ current, offline }) => current && offline !== true)?.name;
