// `greenroom inspect <id>`: prints everything that NATS and LiveKit know about a session or task.
import { parseArgs } from "node:util";
import type { NatsInspector } from "../../libs/bus/nats/inspect.ts";
import { messageOf } from "../../libs/contracts/errors.ts";
import { redactTokens } from "../../libs/runtime/redact-tokens.ts";
import { openSources, type Sources } from "../doctor/sources.ts";
import type { DescribeOptions } from "./describe-stored.ts";
import { findSubject, type Subject } from "./find-subject.ts";
import { sessionOverview, taskOverview } from "./overview.ts";
import { readPresentState } from "./present-state.ts";
import { colored, plain, sessionText, taskText } from "./print.ts";
import { jsonOf } from "./timeline.ts";

const HELP = `greenroom inspect <id> [--json] [--conversation] [--metadata]

Shows a session or an outbound task: messages, revisions of the record, commands, launches, log lines, the call
record, dead letters, and the present state. The beginning of an id is enough if it is unambiguous.
Use <tenant>.<id> to select a tenant. Changes nothing and prints no tokens.

  --json          print one JSON object instead of lines
  --conversation  show the conversation instead of its length
  --metadata      show metadata instead of their size
`;

interface Options extends DescribeOptions {
  readonly isJson: boolean;
}

process.exit(await main());

async function main(): Promise<number> {
  let given: string | undefined;
  let options: Options;
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        json: { type: "boolean" },
        conversation: { type: "boolean" },
        metadata: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
    given = values.help === true ? undefined : positionals[0];
    const { json = false, conversation = false, metadata = false } = values;
    options = { isJson: json, conversation, metadata };
    if (positionals.length > 1) throw new Error("Only one id is supported.");
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n\n${HELP}`);
    return 2;
  }
  if (given === undefined) {
    process.stdout.write(HELP);
    return process.argv.length > 2 ? 0 : 2;
  }
  const sources = await openSources(process.env);
  try {
    return await inspect(sources, given, options);
  } catch (error) {
    process.stderr.write(`${redactTokens(messageOf(error))}\n`);
    return 1;
  } finally {
    await sources.close();
  }
}

async function inspect(sources: Sources, given: string, options: Options): Promise<number> {
  const nats = await sources.nats();
  const answer = await findSubject(nats, given);
  if ("none" in answer) {
    process.stderr.write(`${answer.none}\n`);
    return 1;
  }
  if ("several" in answer) {
    const list = answer.several.map(({ kind, tenant, id }) => `  ${tenant}.${id}  (${kind})`).join("\n");
    process.stderr.write(`"${given}" is ambiguous:\n${list}\n`);
    return 2;
  }
  const text = await overviewText(nats, sources, answer.found, options);
  // An immediate exit would truncate a long write to a pipe.
  await new Promise((resolve) => process.stdout.write(`${text}\n`, resolve));
  return 0;
}

async function overviewText(
  nats: NatsInspector,
  sources: Sources,
  subject: Subject,
  options: Options,
): Promise<string> {
  const hasColor = process.stdout.isTTY === true && !process.env.NO_COLOR;
  const paint = hasColor ? colored : plain;
  if (subject.kind === "task") {
    const overview = await taskOverview(nats, subject, options);
    return options.isJson ? jsonOf(overview, options.metadata) : taskText(overview, paint);
  }
  const overview = await sessionOverview(nats, subject, options);
  const live =
    overview.record === undefined
      ? undefined
      : await readPresentState(nats, sources.livekit, overview.record);
  return options.isJson
    ? jsonOf({ ...overview, live }, options.metadata)
    : sessionText(overview, live, paint);
}
