// Formats the log: readable lines on a terminal, JSON objects everywhere else.
import { prettyFactory } from "pino-pretty";
import type { LogRecord } from "./log-lines.ts";

const CYAN_TO_RED = [36, 32, 35, 34, 33, 31];
const SERVICES = [
  "greenroom",
  "gateway",
  "control",
  "dispatcher",
  "agent-host",
  "janitor",
  "providers",
  "handoffs",
  "tasks",
  "calls",
  "webhooks",
  "privacy",
  "livekit",
  "nats",
];

/** @returns a function that formats a record, with its line end */
export function createFormat(options: {
  isPretty: boolean;
  hasColor: boolean;
}): (record: LogRecord) => string {
  if (!options.isPretty) return (record) => `${JSON.stringify(record)}\n`;
  // Includes the number of a process, for example `agent-host-2`.
  const width = Math.max(...SERVICES.map((service) => service.length)) + 2;
  const color = (service: string, text: string) => {
    const code =
      CYAN_TO_RED[Math.max(0, SERVICES.indexOf(service.replace(/-\d+$/, ""))) % CYAN_TO_RED.length];
    return options.hasColor ? `\u001b[${code}m${text}\u001b[0m` : text;
  };
  const format = prettyFactory({
    colorize: options.hasColor,
    translateTime: "SYS:HH:MM:ss.l",
    ignore: "pid,hostname,service,role,instance",
    singleLine: true,
    messageFormat: (record, messageKey) => {
      const service = nameOf(record);
      return `${color(service, service.padEnd(width))} ${String(record[messageKey] ?? "")}`;
    },
  });
  return (record) => format(record) ?? "";
}

/** The role, with the number of its process if there are several, for example `webhooks-2`. */
function nameOf({ service = "", role }: Partial<LogRecord>): string {
  if (role === undefined) return String(service);
  return `${role}${/-\d+$/.exec(String(service))?.[0] ?? ""}`;
}
