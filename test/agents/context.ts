// A test agent that shows its job, under LiveKit's own worker and under Greenroom.
import { cli, defineAgent, JobContext, type JobRequest, ServerOptions } from "@livekit/agents";
import { Participant, Room } from "@livekit/rtc-node";

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

/** The values of all public getters of a class, besides the ones in `without`. */
const gettersOf = (type: { prototype: object }, of: object, without: readonly string[] = []) =>
  Object.fromEntries(
    Object.entries(Object.getOwnPropertyDescriptors(type.prototype))
      .filter(([name, { get }]) => get !== undefined && !without.includes(name))
      .map(([name, { get }]) => [name, get?.call(of)]),
  );

/** The fields of a job without its secrets. */
function shown(ctx: JobContext) {
  const { info, job, room, agent } = ctx;
  const { apiKey, apiSecret, token, job: own, ...rest } = info;
  return {
    ...gettersOf(JobContext, ctx, ["proc", "room", "info", "agent", "inferenceExecutor", "sessionDirectory"]),
    job: JSON.parse(JSON.stringify(job, (_, value) => (typeof value === "bigint" ? String(value) : value))),
    room: gettersOf(Room, room, ["token"]),
    info: {
      ...rest,
      isSameJob: own === job,
      keyAndSecret: [apiKey, apiSecret].every((part) => (part ?? "").length > 5),
      token: JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString() || "{}"),
    },
    agent: agent && gettersOf(Participant, agent),
  };
}

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
