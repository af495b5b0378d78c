// `npm run inspect -- <id>`: the whole story of one session or task, as NATS and LiveKit know it.
import { parseArgs } from "node:util";
import type { NatsInspector } from "../../libs/bus/nats/inspect.ts";
import { messageOf } from "../../libs/contracts/errors.ts";
import { redactTokens } from "../../libs/runtime/redact-tokens.ts";
import { openSources, type Sources } from "../doctor/sources.ts";
import type { TellOptions } from "./describe-stored.ts";
import { findSubject, type Subject } from "./find-subject.ts";
import { sessionStory, taskStory } from "./overview.ts";
import { lookLive } from "./present-state.ts";
import { colored, plain, sessionText, taskText } from "./print.ts";
import { jsonOf } from "./timeline.ts";

const HELP = `npm run inspect -- <id> [--json] [--conversation] [--metadata]

The story of a session or an outbound task: every message, every saved revision and what it called for, launches,
log lines, the call record, dead letters, and how it stands now. The beginning of an id is enough where only one begins
so; <tenant>.<id> says the tenant too. It changes nothing, and prints no tokens.

  --json          one JSON object instead of lines
  --conversation  what was said, and not only how much
  --metadata      metadata as they are, and not only how much
`;

interface Options extends TellOptions {
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
    if (positionals.length > 1) throw new Error("One id at a time.");
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n\n${HELP}`);
    return 2;
  }
  if (given === undefined) {
    process.stdout.write(HELP);
    return process.argv.length > 2 ? 0 : 2;
  }
  const sources = await openSources(process.env, false);
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
  const look = await sources.nats();
  const answer = await findSubject(look, given);
  if ("none" in answer) {
    process.stderr.write(`${answer.none}\n`);
    return 1;
  }
  if ("several" in answer) {
    const list = answer.several.map(({ kind, tenant, id }) => `  ${tenant}.${id}  (${kind})`).join("\n");
    process.stderr.write(`Several begin with "${given}". Say which:\n${list}\n`);
    return 2;
  }
  const text = await tell(look, sources, answer.found, options);
  // An exit right after a long write to a pipe would cut it.
  await new Promise((resolve) => process.stdout.write(`${text}\n`, resolve));
  return 0;
}

async function tell(
  look: NatsInspector,
  sources: Sources,
  subject: Subject,
  options: Options,
): Promise<string> {
  const hasColor = process.stdout.isTTY === true && !process.env.NO_COLOR;
  const paint = hasColor ? colored : plain;
  if (subject.kind === "task") {
    const story = await taskStory(look, subject, options);
    return options.isJson ? jsonOf(story, options.metadata) : taskText(story, paint);
  }
  const story = await sessionStory(look, subject, options);
  const live = story.record === undefined ? undefined : await lookLive(look, sources.livekit, story.record);
  return options.isJson ? jsonOf({ ...story, live }, options.metadata) : sessionText(story, live, paint);
}
