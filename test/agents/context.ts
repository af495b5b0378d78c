// A test agent that shows its job, under LiveKit's own worker and under Greenroom.
import { cli, defineAgent, type JobContext, type JobRequest, ServerOptions } from "@livekit/agents";

export const pool = { min: 2, hot: 1, max: 20, perProcess: 10, isolation: "shared" };

/** Metadata such as `{"name": "Ann"}` is what the job is accepted with. */
async function requestFunc(request: JobRequest): Promise<void> {
  const wanted = optionsIn(request.job.metadata);
  if (wanted.rejects === true || request.id.endsWith(wanted.rejects ?? "never")) await request.reject();
  else await request.accept(wanted.name, wanted.identity, wanted.metadata, wanted.attributes);
}

interface Wanted {
  readonly rejects?: string | true;
  readonly name?: string;
  readonly identity?: string;
  readonly metadata?: string;
  readonly attributes?: Record<string, string>;
}

function optionsIn(text: string): Wanted {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

/** The fields of a job without its secrets. */
const shown = ({ info, job, room, workerId, agent }: JobContext) => ({
  job: JSON.parse(JSON.stringify(job, (_, value) => (typeof value === "bigint" ? String(value) : value))),
  room: {
    name: room.name,
    isConnected: room.isConnected,
    metadata: room.metadata,
    emptyTimeout: room.emptyTimeout,
    creationTime: room.creationTime,
  },
  info: {
    acceptArguments: info.acceptArguments,
    isSameJob: info.job === job,
    url: info.url,
    keyAndSecret: [info.apiKey, info.apiSecret].every((part) => (part ?? "").length > 5),
    token: JSON.parse(Buffer.from(info.token.split(".")[1] ?? "", "base64url").toString() || "{}"),
    workerId: info.workerId,
  },
  workerId,
  agent: agent && {
    identity: agent.identity,
    name: agent.name,
    metadata: agent.metadata,
    attributes: agent.attributes,
    kind: agent.kind,
  },
});

export default defineAgent({
  entry: async (ctx: JobContext) => {
    const before = shown(ctx);
    await ctx.connect();
    for (let wait = 0; wait < 1500 && ctx.agent?.attributes["lk.agent.name"] === undefined; wait++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    const sid = await ctx.room.getSid();
    console.log(`context ${JSON.stringify({ before, after: shown(ctx), sid })}`);
  },
});

cli.runApp(
  new ServerOptions({
    agent: import.meta.filename,
    agentName: "front-desk",
    requestFunc,
    // LiveKit drops the job of a worker that reports a fully loaded CPU, as it does on a busy test machine.
    loadFunc: async () => 0,
    initializeProcessTimeout: 60_000,
  }),
);
