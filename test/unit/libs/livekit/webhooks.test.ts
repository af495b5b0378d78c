// LiveKit's webhooks about people who leave a room.
import { createHash } from "node:crypto";
import { AccessToken } from "livekit-server-sdk";
import { expect, test } from "vitest";
import { createWebhooks } from "../../../../libs/livekit/webhooks.ts";

const key = { apiKey: "APItest", apiSecret: "s".repeat(32) };

async function receive(event: string, participant: object) {
  const body = JSON.stringify({ event, room: { name: "a-room" }, participant });
  const token = new AccessToken(key.apiKey, key.apiSecret);
  token.sha256 = createHash("sha256").update(body).digest("base64");
  return await createWebhooks(key).receive(body, await token.toJwt());
}

const ada = { identity: "ada", disconnectReason: "CLIENT_INITIATED" };

test.each(["participant_left", "participant_connection_aborted"])(
  "reports by %s that a person has left, also before the connection was complete",
  async (event) => {
    expect(await receive(event, ada)).toMatchObject({ event: { event, identity: "ada" }, leaver: "ada" });
  },
);

test.each([
  ["an agent", { ...ada, kind: "AGENT" }],
  ["a hidden participant", { ...ada, permission: { hidden: true } }],
])("does not take %s for a person", async (_who, participant) => {
  expect(await receive("participant_left", participant)).not.toHaveProperty("leaver");
});

test("keeps the reason for which a participant has left", async () => {
  expect(await receive("participant_left", ada)).toMatchObject({ event: { reason: "CLIENT_INITIATED" } });
  expect(await receive("participant_joined", ada)).not.toHaveProperty("event.reason");
});
