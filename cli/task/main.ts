// `greenroom task`: creates one outbound call and prints its progress; with --direct without the queue.
import { parseArgs } from "node:util";
import { messageOf } from "../../libs/contracts/errors.ts";
import { CreateTaskRequest } from "../../libs/contracts/tasks/http.ts";
import { readConfig } from "../../libs/runtime/config.ts";
import { providerFor, type TasksConfig, tasksSettings } from "../../services/tasks/config.ts";
import { runDirectly } from "./run-directly.ts";
import { runThroughApi } from "./run-through-api.ts";

const USAGE = `greenroom task --to +15550100 --profile sales [options]

  --to <number>         the callee: +15550100, or a SIP user name
  --profile <name>      the kind of agent
  --from <number>       the number that the callee sees
  --provider <name>     pool, livekit, webhook, vapi or sip
  --metadata <json>     metadata for the agent's job
  --schedule-at <time>  the earliest start, for example 2026-01-31T12:00:00Z
  --url <address>       the gateway's address; default http://127.0.0.1:8080
  --direct              one attempt without gateway, queue, limits, calling hours and tasks service. Requests the
                        session over NATS (NATS_URL) and follows it there. Helps to find out where a call fails.

Ctrl+C hangs up with --direct. Without it, the task continues.
Exits with 0 if the call was completed, 1 if it was not, 2 if it could not be created.`;

const print = (line: string) => console.log(`${new Date().toISOString()}  ${line}`);

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--help")) {
    console.log(USAGE);
    return 0;
  }
  let options: Options;
  let config: TasksConfig;
  try {
    options = readOptions(args);
    config = readConfig(tasksSettings, process.env);
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${USAGE}`);
    return 2;
  }
  const { request, isDirect, url } = options;
  try {
    const isCompleted = isDirect
      ? await runDirectly({ ...request, provider: providerFor(config, request) }, config, print)
      : await runThroughApi(url, request, print);
    return isCompleted ? 0 : 1;
  } catch (error) {
    console.error(messageOf(error));
    return 2;
  }
}

interface Options {
  readonly request: CreateTaskRequest;
  readonly isDirect: boolean;
  readonly url: string;
}

/** @throws Error that names the invalid option */
function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      to: { type: "string" },
      from: { type: "string" },
      profile: { type: "string" },
      provider: { type: "string" },
      metadata: { type: "string" },
      "schedule-at": { type: "string" },
      url: { type: "string", default: "http://127.0.0.1:8080" },
      direct: { type: "boolean", default: false },
    },
  });
  if (values.to === undefined) throw new Error("--to is missing.");
  const { to, from, profile, provider, metadata, "schedule-at": scheduleAt, url, direct } = values;
  const parsed = CreateTaskRequest.safeParse({
    to,
    from,
    profile,
    provider,
    scheduleAt,
    ...(metadata === undefined ? {} : { metadata: parseMetadata(metadata) }),
  });
  if (parsed.success) {
    const given = Object.entries(parsed.data).filter(([, value]) => value !== undefined);
    return { request: Object.fromEntries(given) as CreateTaskRequest, isDirect: direct, url };
  }
  throw new Error(
    parsed.error.issues.map(({ path, message }) => `--${path.join(".")}: ${message}`).join("\n"),
  );
}

function parseMetadata(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`--metadata: ${text} is not valid JSON.`);
  }
}
