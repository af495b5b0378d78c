// Asks an agent through LiveKit's server whether it lives. The SDK has no call for it, so it is made here.
import { PerformRpcRequest } from "@livekit/protocol";
import { AccessToken } from "livekit-server-sdk";
import { ALIVE_METHOD } from "../contracts/room-messages.ts";

/** `unsupported`: this server can't pass on questions. */
export type AgentAnswer = "answers" | "silent" | "unsupported";

/** @throws Error when LiveKit can't be asked */
export type AskAgent = (
  room: string,
  identity: string,
  withinMs: number,
  signal: AbortSignal,
) => Promise<AgentAnswer>;

interface Server {
  /** http:// or https:// */
  readonly api: string;
  readonly apiKey: string;
  readonly apiSecret: string;
}

/** LiveKit keeps the time itself; past this it is LiveKit that doesn't answer. */
const GRACE_MS = 2000;
const TOKEN_TTL_S = 60;

export const askingAgents =
  ({ api, apiKey, apiSecret }: Server): AskAgent =>
  async (room, identity, withinMs, signal) => {
    const token = new AccessToken(apiKey, apiSecret, { ttl: TOKEN_TTL_S });
    token.addGrant({ roomAdmin: true, room });
    const question = new PerformRpcRequest({
      room,
      destinationIdentity: identity,
      method: ALIVE_METHOD,
      responseTimeoutMs: withinMs,
    });
    const response = await fetch(new URL("/twirp/livekit.RoomService/PerformRpc", api), {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${await token.toJwt()}` },
      body: question.toJsonString(),
      signal: AbortSignal.any([signal, AbortSignal.timeout(withinMs + GRACE_MS)]),
    });
    const text = await response.text();
    return response.ok ? "answers" : whatAnErrorSays(response.status, text);
  };

/**
 * What LiveKit's refusal says of the agent. Its words were looked up in livekit-server 1.13.
 *
 * An RpcError is the agent's own, or LiveKit's for one from which nothing came in time. An agent that leaves
 * answers with one as well, and one that serves no session doesn't know the method (1400).
 *
 * @throws Error when it says nothing of the agent
 */
export function whatAnErrorSays(status: number, body: string): AgentAnswer {
  const { code, msg } = parsed(body);
  if (/RpcError \d+/.test(msg)) return "silent";
  if (code === "not_found") return "silent";
  // No node of LiveKit has this participant, though one may still list it.
  if (code === "unavailable" && msg.includes("no response from servers")) return "silent";
  if (code === "bad_route" || code === "unimplemented" || status === 404) return "unsupported";
  throw new Error(`${status} ${code || body.slice(0, 200)} ${msg}`.trim());
}

function parsed(body: string): { code: string; msg: string } {
  try {
    const { code, msg } = JSON.parse(body) as { code?: unknown; msg?: unknown };
    return { code: String(code ?? ""), msg: String(msg ?? "") };
  } catch {
    return { code: "", msg: "" };
  }
}
