// GET /api/calls/export: all calls of a range as CSV or NDJSON, streamed as fast as the client reads.
import { Readable } from "node:stream";
import { z } from "zod";
import type { CallRecord } from "../../../libs/contracts/calls/call.ts";
import { ExportQuery } from "../../../libs/contracts/calls/http.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";
import { csvHeader, csvLine } from "./call-csv.ts";
import { callRange } from "./call-range.ts";
import { toPublicCall } from "./list-calls.ts";
import { allCalls } from "./read-calls.ts";

const DEFAULT_DAYS = 7;

const formats = {
  csv: { type: "text/csv; charset=utf-8", header: csvHeader, line: csvLine },
  ndjson: {
    type: "application/x-ndjson; charset=utf-8",
    header: () => "",
    line: (call: CallRecord) => `${JSON.stringify(toPublicCall(call))}\n`,
  },
} as const;

export function exportCallsRoute(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/calls/export",
    {
      schema: {
        summary: "Export calls as CSV or NDJSON, oldest day first",
        description:
          "The answer is streamed. Without a proper end it is incomplete. A call that is recorded again during the export may appear twice. The later line is correct.",
        tags: ["calls"],
        querystring: ExportQuery,
        response: {
          200: {
            content: { "text/csv": { schema: z.string() }, "application/x-ndjson": { schema: z.string() } },
          },
          "4xx": ErrorAnswer,
          "5xx": ErrorAnswer,
        },
      },
    },
    async (request, reply) => {
      const { bus, clock, log, streams, tenant } = gateway;
      const { query } = request;
      const range = callRange(query, clock.now(), DEFAULT_DAYS);
      const name = query.format ?? formatOf(request.headers.accept);
      streams.refuseIfTooMany(request.ip);
      const body = Readable.from(linesOf(allCalls({ bus, tenant, range, filter: query }), formats[name]), {
        objectMode: false,
        // Bytes that are read ahead of a slow client.
        highWaterMark: 64 * 1024,
      });
      const remove = streams.add(request.ip, () => body.destroy(new Error("the gateway is stopping")));
      body.once("close", remove);
      // The status has been sent already. A client recognizes the error by the incomplete answer.
      body.once("error", (error) => log.info({ error, traceId: request.id }, "export failed"));
      return reply
        .type(formats[name].type)
        .header(
          "Content-Disposition",
          `attachment; filename="calls-${range.firstDay}-${range.lastDay}.${name}"`,
        )
        .send(body as never);
    },
  );
}

async function* linesOf(
  pages: AsyncGenerator<CallRecord[]>,
  { header, line }: (typeof formats)[keyof typeof formats],
): AsyncGenerator<Buffer> {
  const head = header();
  if (head !== "") yield Buffer.from(head);
  for await (const page of pages) yield Buffer.from(page.map(line).join(""));
}

const formatOf = (accept: string | undefined): keyof typeof formats =>
  accept !== undefined && /ndjson|jsonl/.test(accept) ? "ndjson" : "csv";
