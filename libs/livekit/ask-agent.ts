// Asks an agent through LiveKit's server whether it is alive. LiveKit's SDK has no method for this RPC.
import { PerformRpcRequest } from "@livekit/protocol";
import { AccessToken } from "livekit-server-sdk";
import { ALIVE_METHOD } from "../contracts/sessions/room-messages.ts";

/** `unsupported`: this server can't forward RPCs. */
export type AgentAnswer = "answers" | "silent" | "unsupported";

/** @throws Error if LiveKit can't be reached */
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

/** LiveKit enforces the timeout itself. After this grace period, LiveKit counts as unresponsive. */
const GRACE_MS = 2000;
const TOKEN_TTL_S = 60;

export const createAskAgent =
  (server: Server): AskAgent =>
  async (room, identity, withinMs, signal) => {
    const { isOk, status, text } = await ask(server, room, identity, withinMs, signal);
    return isOk ? "answers" : agentAnswerOfError(status, text);
  };

/** Whether a participant's client responds at all, even by rejecting the unknown method. */
export type AskClient = (
  room: string,
  identity: string,
  withinMs: number,
) => Promise<"responds" | "silent" | "unknown">;

/** Never throws. Any failure to ask results in `unknown`. */
export const createAskClient =
  (server: Server): AskClient =>
  async (room, identity, withinMs) => {
    try {
      const { isOk, text } = await ask(server, room, identity, withinMs, new AbortController().signal);
      return isOk ? "responds" : clientAnswerOfError(text);
    } catch {
      return "unknown";
    }
  };

async function ask(
  { api, apiKey, apiSecret }: Server,
  room: string,
  identity: string,
  withinMs: number,
  signal: AbortSignal,
): Promise<{ isOk: boolean; status: number; text: string }> {
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
  return { isOk: response.ok, status: response.status, text: await response.text() };
}

/** RPC error codes of LiveKit's SDKs: those that a live client sends itself, and those for an absent or silent one. */
const FROM_LIVE_CLIENTS = [1400, 1402, 1500, 1504];
const FOR_SILENT_CLIENTS = [1401, 1501, 1502, 1503];

/** `unknown` for errors of older servers and clients, which may not support RPCs. */
export function clientAnswerOfError(body: string): "responds" | "silent" | "unknown" {
  const { code, msg } = parsed(body);
  const number = Number(/RpcError (\d+)/.exec(msg)?.[1]);
  if (FROM_LIVE_CLIENTS.includes(number)) return "responds";
  if (FOR_SILENT_CLIENTS.includes(number) || code === "not_found") return "silent";
  return "unknown";
}

/**
 * Interprets LiveKit's error answer. Source of the messages: livekit-server 1.13.
 *
 * An RpcError comes from the agent itself, or from LiveKit if the agent did not answer in time. An agent that is
 * leaving answers with one, and so does an agent without a session, which does not know the method (1400).
 *
 * @throws Error if the answer contains no information about the agent
 */
export function agentAnswerOfError(status: number, body: string): AgentAnswer {
  const { code, msg } = parsed(body);
  if (/RpcError \d+/.test(msg)) return "silent";
  if (code === "not_found") return "silent";
  // No node of LiveKit has this participant, although one may still list it.
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
