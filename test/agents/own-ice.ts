// A test agent that connects with the ICE server of its session's metadata.
import { ContinualGatheringPolicy, IceServer, IceTransportType } from "@livekit/rtc-node";
import { agentThat, hotPool } from "./_connects.ts";

export const pool = hotPool;

export default agentThat((ctx) => {
  const { stun } = JSON.parse(ctx.job.metadata) as { stun: string };
  return ctx.connect(undefined, undefined, {
    iceTransportType: IceTransportType.TRANSPORT_ALL,
    continualGatheringPolicy: ContinualGatheringPolicy.GATHER_CONTINUALLY,
    iceServers: [new IceServer({ urls: [stun] })],
  });
});
