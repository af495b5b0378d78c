// Renders the documents that are generated from the code: contracts, errors and settings.
import { z } from "zod";
import { doctorSettings } from "../cli/doctor/config.ts";
import { localSettings } from "../cli/supervisor/config.ts";
import { allBuckets, type Bucket } from "../libs/contracts/buckets.ts";
import { HandoffRequested } from "../libs/contracts/claims/claim.ts";
import { errorTable } from "../libs/contracts/errors.ts";
import {
  allChannels,
  assignCommand,
  type Channel,
  type Command,
  handoffRequests,
  hostChanges,
  pingCommand,
  releaseCommand,
  roomEvents,
  serviceHeartbeats,
  type Topic,
} from "../libs/contracts/streams.ts";
import { commonSettings } from "../libs/runtime/common-settings.ts";
import type { Settings } from "../libs/runtime/config.ts";
import { agentHostSettings } from "../services/agent-host/config.ts";
import { callsSettings } from "../services/calls/config.ts";
import { controlSettings } from "../services/control/config.ts";
import { dispatcherSettings } from "../services/dispatcher/config.ts";
import { gatewaySettings } from "../services/gateway/config.ts";
import { handoffsSettings } from "../services/handoffs/config.ts";
import { janitorSettings } from "../services/janitor/config.ts";
import { privacySettings } from "../services/privacy/config.ts";
import { providersSettings } from "../services/providers/config.ts";
import { tasksSettings } from "../services/tasks/config.ts";
import { webhooksSettings } from "../services/webhooks/config.ts";

const NOTE = "<!-- Generated from the code by `npm run docs`. Do not edit. -->\n";

/** Every generated file by its path from docs/. */
export const documents: Readonly<Record<string, () => string>> = {
  "reference/contracts.md": renderContracts,
  "reference/errors.md": renderErrors,
  "reference/settings.md": renderSettings,
  "../libs/runtime/setting-names.json": renderSettingNames,
};

function renderContracts(): string {
  const channels = allChannels as unknown as readonly Channel<unknown>[];
  const buckets = allBuckets as unknown as readonly Bucket<unknown>[];
  const topics = [hostChanges, serviceHeartbeats, roomEvents] as readonly Topic<unknown>[];
  const commands = [assignCommand, releaseCommand, pingCommand] as unknown as readonly Command<
    unknown,
    unknown
  >[];
  return [
    "# Contracts\n",
    NOTE,
    "The messages and records that services exchange over NATS. The source is `libs/contracts/`.\n",
    "## Streams\n",
    table(
      ["stream", "subjects", "kept for", "limit", "when full"],
      channels.map((channel) => [
        code(channel.stream),
        code(channel.subjects),
        duration(channel.maxAgeMs),
        bytes(channel.maxBytes) + (channel.maxPerSubject ? `, ${channel.maxPerSubject} per subject` : ""),
        channel.discard === "refuse" ? "refuses new messages" : "deletes old messages",
      ]),
    ),
    ...channels.flatMap((channel) => [`### ${channel.stream}\n`, fieldsOf(channel.schema)]),
    `### ${code(handoffRequests.subjects)}\n`,
    "Stored in HANDOFFS and published by other systems. Other fields are ignored.\n",
    fieldsOf(HandoffRequested),
    "## KV buckets\n",
    table(
      ["bucket", "revisions", "largest value", "limit", "expires after"],
      buckets.map((bucket) => [
        code(bucket.name),
        String(bucket.history),
        bytes(bucket.maxValueBytes),
        bytes(bucket.maxBytes),
        bucket.ttlMs === undefined ? "never" : duration(bucket.ttlMs),
      ]),
    ),
    ...buckets.flatMap((bucket) => [`### ${bucket.name}\n`, fieldsOf(bucket.schema)]),
    "## Transient messages\n",
    "Published to present subscribers and not stored.\n",
    ...topics.flatMap((topic) => [`### ${code(topic.subject)}\n`, fieldsOf(topic.schema)]),
    "## Commands to a host\n",
    ...commands.flatMap((command) => [
      `### ${code(command.subjectOf("<host>"))}\n`,
      `The request fails after ${command.timeoutMs} ms without an answer.\n`,
      "Request:\n",
      fieldsOf(command.request),
      "Answer:\n",
      fieldsOf(command.answer),
    ]),
  ].join("\n");
}

function renderErrors(): string {
  const rows = Object.entries(errorTable).map(([name, kind]) => [
    code(name),
    String(kind.http),
    kind.retryable ? "yes" : "no",
    kind.description,
  ]);
  return [
    "# Errors\n",
    NOTE,
    "Every error of the HTTP API has the same shape:\n",
    '```json\n{ "success": false, "error": { "code": "at_capacity", "message": "…", "retryable": true, "retryAfterMs": 2000, "sessionId": "s_…", "traceId": "…" } }\n```\n',
    "`message` describes what failed and what to do. An answer with `retryAfterMs` also has a `Retry-After` header.\n",
    table(["code", "HTTP", "retryable", "meaning"], rows),
  ].join("\n");
}

function renderSettings(): string {
  const common = new Set(Object.keys(commonSettings));
  const own = (settings: Settings): Settings =>
    Object.fromEntries(Object.entries(settings).filter(([name]) => !common.has(name)));
  const section = (title: string, settings: Settings) => [
    `## ${title}\n`,
    table(
      ["variable", "default", "meaning"],
      Object.entries(settings).map(([name, each]) => [
        code(name),
        each.default ? code(each.default) : "–",
        each.description,
      ]),
    ),
  ];
  return [
    "# Settings\n",
    NOTE,
    "All settings are environment variables. An unknown `GREENROOM_*` name fails the start, and the error names the nearest known one.\n",
    ...section("Every service", commonSettings),
    ...Object.entries(settingTables).flatMap(([title, settings]) => [
      ...section(title, own(settings)),
      ...(title === "control"
        ? [
            "A control process also takes the settings of its roles, which follow from dispatcher to privacy.\n",
          ]
        : []),
    ]),
  ].join("\n");
}

/** The settings of each program, besides the common ones. */
const settingTables: Readonly<Record<string, Settings>> = {
  gateway: gatewaySettings,
  control: controlSettings,
  dispatcher: dispatcherSettings,
  janitor: janitorSettings,
  providers: providersSettings,
  handoffs: handoffsSettings,
  tasks: tasksSettings,
  calls: callsSettings,
  webhooks: webhooksSettings,
  privacy: privacySettings,
  "agent-host": agentHostSettings,
  "`npm start`": localSettings,
  "`npm run doctor`": doctorSettings,
};

/** The browser tests read it. */
const OF_TESTS = "GREENROOM_CHROMIUM";

function renderSettingNames(): string {
  const names = [commonSettings, ...Object.values(settingTables)].flatMap((table) => Object.keys(table));
  const ours = [OF_TESTS, ...names].filter((name) => name.startsWith("GREENROOM_"));
  return `${JSON.stringify([...new Set(ours)].sort(), null, 2)}\n`;
}

interface JsonSchema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly additionalProperties?: JsonSchema | boolean;
}

function fieldsOf(schema: z.ZodType): string {
  const json = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema;
  const variants = json.anyOf ?? json.oneOf ?? [json];
  return `${variants.map(variantOf).join("\n")}\n`;
}

/** One message type with its fields. */
function variantOf(schema: JsonSchema): string {
  const fields = Object.entries(schema.properties ?? {});
  if (fields.length === 0) return "- (empty)";
  const kind = schema.properties?.type?.const ?? schema.properties?.verdict?.const;
  const lines = fields.map(([name, field]) => {
    const optional = schema.required?.includes(name) ? "" : "?";
    return `${name}${optional}: ${typeOf(field)}`;
  });
  return kind === undefined ? `\`{ ${lines.join("; ")} }\`\n` : `- **${kind}** \`{ ${lines.join("; ")} }\``;
}

function typeOf(schema: JsonSchema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const variants = schema.anyOf ?? schema.oneOf;
  if (variants !== undefined) return variants.map(typeOf).join(" | ");
  if (schema.type === "array") return `[${schema.items === undefined ? "any" : typeOf(schema.items)}]`;
  if (schema.properties !== undefined) {
    const required = schema.required ?? [];
    const fields = Object.entries(schema.properties).map(
      ([name, field]) => `${name}${required.includes(name) ? "" : "?"}: ${typeOf(field)}`,
    );
    return `{ ${fields.join("; ")} }`;
  }
  if (typeof schema.additionalProperties === "object")
    return `{ [name]: ${typeOf(schema.additionalProperties)} }`;
  return schema.type ?? "any";
}

const code = (text: string): string => `\`${text}\``;

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  `${[head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n")}\n`;

const bytes = (count: number): string =>
  count >= 1_048_576 ? `${count / 1_048_576} MiB` : `${count / 1024} KiB`;

function duration(ms: number): string {
  const days = ms / 86_400_000;
  return days === 1 ? "1 day" : `${days} days`;
}
