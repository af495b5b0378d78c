// The standby connection of a hot agent, and the options with which its file connects.
import type { JobContext } from "@livekit/agents";
import {
  ConnectionState,
  ContinualGatheringPolicy,
  EncryptionType,
  IceTransportType,
  Room,
} from "@livekit/rtc-node";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { JobRoom, STANDBY_OPTIONS } from "../../../../../services/agent-host/agent-process/room.ts";

const e2ee = {
  encryptionType: EncryptionType.GCM,
  keyProviderOptions: { sharedKey: new Uint8Array([1, 2, 3]) },
};
const rtcConfig = {
  iceTransportType: IceTransportType.TRANSPORT_ALL,
  continualGatheringPolicy: ContinualGatheringPolicy.GATHER_CONTINUALLY,
  iceServers: [],
};
const DEFAULTS = { autoSubscribe: true, dynacast: false };

/** The options of each connection that the library has made. */
let connections: unknown[];

beforeEach(() => {
  connections = [];
  vi.spyOn(Room.prototype, "connect").mockImplementation(async function (this: Room, _url, token, options) {
    connections.push(options);
    Object.assign(this, {
      ffiHandle: { handle: 1n },
      _token: token,
      _connectionState: ConnectionState.CONN_CONNECTED,
    });
  });
  vi.spyOn(Room.prototype, "disconnect").mockImplementation(async function (this: Room) {
    Object.assign(this, { _connectionState: ConnectionState.CONN_DISCONNECTED });
  });
});
afterEach(() => vi.restoreAllMocks());

const connect = (room: JobRoom, options?: object) =>
  room.connect("ws://127.0.0.1:9", "token", options as typeof STANDBY_OPTIONS);

/** The room of a hot agent whose job begins. */
async function hotRoom() {
  const room = new JobRoom();
  await connect(room, STANDBY_OPTIONS);
  connections = [];
  const onReconnected = vi.fn();
  room.onReconnected = onReconnected;
  room.belongTo({} as JobContext);
  return { room, onReconnected };
}

describe("the room of a hot agent", () => {
  test.each([[undefined], [DEFAULTS], [{ ...DEFAULTS, e2ee: undefined, rtcConfig: undefined }]])(
    "keeps its connection for the options %j",
    async (options) => {
      const { room, onReconnected } = await hotRoom();
      await connect(room, options);
      expect(connections).toEqual([]);
      expect(onReconnected).not.toHaveBeenCalled();
    },
  );

  test.each([
    { ...DEFAULTS, e2ee },
    { ...DEFAULTS, encryption: e2ee },
    { ...DEFAULTS, rtcConfig },
    { ...DEFAULTS, autoSubscribe: false },
    { ...DEFAULTS, dynacast: true },
    { ...DEFAULTS, dataStream: { maxPayloadByteLength: 1000 } },
    { ...DEFAULTS, singlePeerConnection: true },
    { dynacast: true },
  ])("connects again for the options %j, once", async (options) => {
    const { room, onReconnected } = await hotRoom();
    await connect(room, options);
    await connect(room, options);
    expect(connections).toEqual([options]);
    expect(onReconnected).toHaveBeenCalledTimes(1);
  });

  test("keeps its encryption when somebody connects it without", async () => {
    const { room } = await hotRoom();
    await connect(room, { ...DEFAULTS, e2ee });
    await connect(room, DEFAULTS);
    expect(connections).toEqual([{ ...DEFAULTS, e2ee }]);
  });

  test("keeps its connection after an AgentSession has started in it, except for encryption", async () => {
    const { room } = await hotRoom();
    room.sessionStarting();
    await connect(room, { ...DEFAULTS, autoSubscribe: false });
    expect(connections).toEqual([]);
    await connect(room, { ...DEFAULTS, e2ee });
    expect(connections).toEqual([{ ...DEFAULTS, e2ee }]);
  });
});
