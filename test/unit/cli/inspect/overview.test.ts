// Large metadata in the overview of a session.
import { expect, test } from "vitest";
import { sessionOverview } from "../../../../cli/inspect/overview.ts";
import type { RawStored } from "../../../../libs/bus/nats/inspect.ts";

const TEXT = `{"plan":"é${"x".repeat(5000)}"}`;

const nats = {
  stored: async (stream: string, filter: string): Promise<RawStored[]> => {
    if (filter !== "$KV.session_metadata.default.s_abc.*") return [];
    const text = JSON.stringify({ base64: Buffer.from(TEXT).toString("base64") });
    return [{ stream, subject: `${filter.slice(0, -1)}h`, sequence: 1, at: new Date(0), text }];
  },
};

test("reads and shows large metadata only on demand", async () => {
  const overviewOf = (metadata: boolean) =>
    sessionOverview(
      nats,
      { kind: "session", tenant: "default", id: "s_abc" },
      { metadata, conversation: false },
    );
  expect((await overviewOf(false)).timeline).toEqual([]);
  const { timeline } = await overviewOf(true);
  expect(timeline).toMatchObject([{ what: "large metadata (5013 bytes)", details: [TEXT] }]);
});
