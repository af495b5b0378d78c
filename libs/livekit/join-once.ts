// Joins a room as a participant without media, by LiveKit's signal protocol, and leaves it at once.
import {
  DisconnectReason,
  LeaveRequest,
  type ServerInfo,
  SignalRequest,
  SignalResponse,
} from "@livekit/protocol";
import { WebSocket } from "ws";
import { messageOf } from "../contracts/errors.ts";
import { withResolvers } from "../runtime/with-resolvers.ts";

const TIMEOUT_MS = 5000;
/** LiveKit's signal protocol as of the tested versions. */
const QUERY = { protocol: "15", auto_subscribe: "0", sdk: "js" };
const LEAVE = new SignalRequest({
  message: { case: "leave", value: new LeaveRequest({ reason: DisconnectReason.CLIENT_INITIATED }) },
}).toBinary();

/**
 * @param token for the room
 * @returns what LiveKit tells its participants about itself
 * @throws Error with the reason in plain words
 */
export async function joinOnce(
  url: string,
  token: string,
  signal: AbortSignal,
): Promise<ServerInfo | undefined> {
  signal.throwIfAborted();
  const address = `${url.replace(/^http/, "ws").replace(/\/$/, "")}/rtc`;
  const socket = new WebSocket(`${address}?${new URLSearchParams({ ...QUERY, access_token: token })}`);
  const { promise, resolve, reject } = withResolvers<ServerInfo | undefined>();
  const fail = (what: string) => reject(new Error(`the WebSocket ${address} ${what}`));
  const timeout = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  timeout.addEventListener("abort", () => fail("did not answer in time"));
  socket.on("error", (error) => fail(`failed: ${messageOf(error)}`));
  socket.on("unexpected-response", (_, { statusCode }) => fail(`answered with HTTP status ${statusCode}`));
  socket.on("close", () => fail("closed before the join was complete"));
  socket.on("message", (data: Buffer) => {
    try {
      const { message } = SignalResponse.fromBinary(data);
      if (message.case === "join") resolve(message.value.serverInfo);
      if (message.case === "leave") fail(`refused the join: ${DisconnectReason[message.value.reason]}`);
    } catch {
      fail("does not belong to a LiveKit server");
    }
  });
  try {
    const server = await promise;
    // LiveKit keeps a participant for a while whose connection is lost.
    socket.send(LEAVE, () => socket.terminate());
    return server;
  } catch (error) {
    socket.terminate();
    throw error;
  }
}
