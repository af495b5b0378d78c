// Asks LiveKit for its version, which it tells only to participants.
import { type ServerInfo, ServerInfo_Edition, SignalResponse } from "@livekit/protocol";
import { WebSocket } from "ws";
import { withResolvers } from "../../libs/runtime/with-resolvers.ts";

const TIMEOUT_MS = 5000;
/** LiveKit's signal protocol as of the tested versions. */
const QUERY = { protocol: "15", auto_subscribe: "0", sdk: "js" };

/**
 * Joins a room for a moment, without media.
 * @param token for the room
 * @returns undefined for LiveKit Cloud, which nobody can update
 * @throws Error if LiveKit does not answer as a participant expects
 */
export async function livekitVersion(
  url: string,
  token: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  signal.throwIfAborted();
  const query = new URLSearchParams({ ...QUERY, access_token: token });
  const socket = new WebSocket(`${url.replace(/^http/, "ws").replace(/\/$/, "")}/rtc?${query}`, {
    handshakeTimeout: TIMEOUT_MS,
  });
  const { promise, resolve, reject } = withResolvers<string | undefined>();
  const timeout = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  timeout.addEventListener("abort", () => reject(new Error("LiveKit did not answer in time")));
  socket.on("error", reject);
  socket.on("close", () => reject(new Error("LiveKit closed the connection")));
  socket.on("message", (data: Buffer) => {
    try {
      const { message } = SignalResponse.fromBinary(data);
      if (message.case === "join") resolve(versionOf(message.value.serverInfo));
    } catch (error) {
      reject(error); // Another server answers at this address.
    }
  });
  return await promise.finally(() => socket.terminate());
}

const versionOf = (server: ServerInfo | undefined): string | undefined =>
  server?.edition === ServerInfo_Edition.Cloud ? undefined : server?.version || undefined;
