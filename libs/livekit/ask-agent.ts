// Asks an agent through LiveKit's server whether it lives. The SDK has no call for it, so it is made here.
import { PerformRpcRequest } from "@livekit/protocol";
import { AccessToken } from "livekit-server-sdk";
import { ALIVE_METHOD } from "../contracts/sessions/room-messages.ts";

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

export const createAskAgent =
  (server: Server): AskAgent =>
  async (room, identity, withinMs, signal) => {
    const { isOk, status, text } = await ask(server, room, identity, withinMs, signal);
    return isOk ? "answers" : agentAnswerOfError(status, text);
  };

/** Whether a participant's client answers anything at all, if only that it knows no such question. */
export type AskClient = (
  room: string,
  identity: string,
  withinMs: number,
) => Promise<"responds" | "silent" | "unknown">;

/** Never throws: what can't be asked is unknown. */
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

/** RPC errors by their numbers in LiveKit's SDKs: those that a living client gave itself, and those for nobody there. */
const OF_THE_LIVING = [1400, 1402, 1500, 1504];
const OF_THE_SILENT = [1401, 1501, 1502, 1503];

/** An older server or client may not pass on questions at all: then nothing is known. */
export function clientAnswerOfError(body: string): "responds" | "silent" | "unknown" {
  const { code, msg } = parsed(body);
  const number = Number(/RpcError (\d+)/.exec(msg)?.[1]);
  if (OF_THE_LIVING.includes(number)) return "responds";
  if (OF_THE_SILENT.includes(number) || code === "not_found") return "silent";
  return "unknown";
}

/**
 * What LiveKit's refusal says of the agent. Its words were looked up in livekit-server 1.13.
 *
 * An RpcError is the agent's own, or LiveKit's for one from which nothing came in time. An agent that leaves
 * answers with one as well, and one that serves no session doesn't know the method (1400).
 *
 * @throws Error when it says nothing of the agent
 */
export function agentAnswerOfError(status: number, body: string): AgentAnswer {
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
