// Room tokens: exactly the necessary grants, for the given time.
import { describe, expect, test } from "vitest";
import { createTokens } from "../../../../libs/livekit/tokens.ts";

const SECRET = "a-secret-of-sufficient-length-for-hs256";
const tokens = createTokens("key", SECRET);

/** The claims of a token, without a check of its signature. */
function claimsOf(jwt: string): { header: Record<string, unknown>; claims: Record<string, unknown> } {
  const [header, claims] = jwt
    .split(".")
    .slice(0, 2)
    .map((part) => JSON.parse(Buffer.from(part, "base64url").toString()));
  return { header, claims };
}

const grants = {
  room: "r",
  roomJoin: true,
  canPublish: true,
  canSubscribe: true,
  canPublishData: true,
  canUpdateOwnMetadata: true,
};

describe("tokens", () => {
  test("allows a user to join one room, publish, subscribe and send data, and nothing else", async () => {
    const { header, claims } = claimsOf(
      await tokens.forUser({ room: "r", identity: "u1", name: "Ada", ttlS: 60 }),
    );
    expect(header.alg).toBe("HS256");
    expect(claims.video).toEqual(grants);
    expect(claims).toMatchObject({ iss: "key", sub: "u1", name: "Ada" });
    expect(claims).not.toHaveProperty("kind");
    expect(claims).not.toHaveProperty("metadata");
  });

  test("gives an agent the agent grant and kind in addition", async () => {
    const { claims } = claimsOf(await tokens.forAgent({ room: "r", identity: "agent-s-1", ttlS: 60 }));
    expect(claims.video).toEqual({ ...grants, agent: true });
    expect(claims).toMatchObject({ sub: "agent-s-1", kind: "agent" });
    expect(claims).not.toHaveProperty("name");
  });

  test("expires after the given time", async () => {
    const nowS = Math.floor(Date.now() / 1000);
    const { claims } = claimsOf(await tokens.forUser({ room: "r", identity: "u", ttlS: 60 }));
    expect(Number(claims.exp) - Number(claims.nbf ?? nowS)).toBeGreaterThanOrEqual(59);
    expect(Math.abs(Number(claims.exp) - nowS - 60)).toBeLessThanOrEqual(2);
  });

  test("contains metadata and attributes if given", async () => {
    const request = {
      room: "r",
      identity: "u",
      ttlS: 60,
      metadata: '{"a":1}',
      attributes: { sessionId: "s" },
    };
    const { claims } = claimsOf(await tokens.forUser(request));
    expect(claims).toMatchObject({ metadata: '{"a":1}', attributes: { sessionId: "s" } });
  });

  test("is signed with the secret", async () => {
    const request = { room: "r", identity: "u", ttlS: 60 };
    const [head, body, signature] = (await tokens.forUser(request)).split(".");
    const { createHmac } = await import("node:crypto");
    expect(createHmac("sha256", SECRET).update(`${head}.${body}`).digest("base64url")).toBe(signature);
  });
});
