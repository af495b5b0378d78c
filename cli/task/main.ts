// `npm run task`: asks for one outbound call and tells each step of it; with --direct without the queue.
import { parseArgs } from "node:util";
import { messageOf } from "../../libs/contracts/errors.ts";
import { CreateTaskRequest } from "../../libs/contracts/tasks/http.ts";
import { readConfig } from "../../libs/runtime/config.ts";
import { providerFor, type TasksConfig, tasksSettings } from "../../services/tasks/config.ts";
import { runDirectly } from "./run-directly.ts";
import { runThroughApi } from "./run-through-api.ts";

const USAGE = `npm run task -- --to +15550100 --profile sales [options]

  --to <number>        whom to call: +15550100, or a SIP user name
  --profile <name>     which kind of agent
  --from <number>      the number that the callee sees
  --provider <name>    pool, livekit, webhook, vapi or sip
  --metadata <json>    reaches the agent as job metadata
  --schedule-at <time> not before this time, as 2026-01-31T12:00:00Z
  --url <address>      the gateway; default http://127.0.0.1:8080
  --direct             one attempt without gateway, queue, limits, calling hours and tasks service: its session is asked
                       for over NATS (NATS_URL) and followed there. For finding out where a call fails.

Ctrl+C: with --direct the call is hung up; without it the task goes on.
Ends with 0 when the call was completed, 1 when it came to something else, 2 when it could not be asked for.`;

const say = (line: string) => console.log(`${new Date().toISOString()}  ${line}`);

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  let wish: Wish;
  let config: TasksConfig;
  try {
    wish = readWish(args);
    config = readConfig(tasksSettings, process.env);
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${USAGE}`);
    return 2;
  }
  const { request, isDirect, url } = wish;
  try {
    const isCompleted = isDirect
      ? await runDirectly({ ...request, provider: providerFor(config, request) }, config, say)
      : await runThroughApi(url, request, say);
    return isCompleted ? 0 : 1;
  } catch (error) {
    console.error(messageOf(error));
    return 2;
  }
}

interface Wish {
  readonly request: CreateTaskRequest;
  readonly isDirect: boolean;
  readonly url: string;
}

/** @throws Error in words */
function readWish(args: readonly string[]): Wish {
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
    throw new Error(`--metadata: ${text} is not JSON.`);
  }
}
