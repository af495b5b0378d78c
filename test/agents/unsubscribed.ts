// A test agent that subscribes to no tracks.
import { AutoSubscribe } from "@livekit/agents";
import { agentThat, hotPool } from "./_connects.ts";

export const pool = hotPool;

export default agentThat((ctx) => ctx.connect(undefined, AutoSubscribe.SUBSCRIBE_NONE));
