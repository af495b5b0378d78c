// Asks LiveKit for its version, which it tells only to participants.
import { SignalResponse } from "@livekit/protocol";
import { WebSocket } from "ws";
import { withResolvers } from "../../libs/runtime/with-resolvers.ts";

const TIMEOUT_MS = 5000;
/** LiveKit's signal protocol as of the tested versions. */
const QUERY = { protocol: "15", auto_subscribe: "0", sdk: "js" };

/**
 * Joins a room for a moment, without media.
 * @param token for the room
 * @throws Error if LiveKit does not answer as a participant expects
 */
export function livekitVersion(url: string, token: string, signal: AbortSignal): Promise<string | undefined> {
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
      if (message.case === "join")
        resolve(message.value.serverInfo?.version || message.value.serverVersion || undefined);
    } catch (error) {
      reject(error); // Another server answers at this address.
    }
  });
  return promise.finally(() => socket.terminate());
}
