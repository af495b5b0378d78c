// Rooms on a real LiveKit server, through its server API.
import {
  type ParticipantInfo as LiveKitParticipant,
  ParticipantInfo_Kind,
  type Room,
} from "@livekit/protocol";
import { type RoomServiceClient, TwirpError } from "livekit-server-sdk";
import { GreenroomError, messageOf } from "../contracts/errors.ts";
import type { LiveKitRoom } from "../contracts/fleet/host.ts";
import type { AskAgent } from "./ask-agent.ts";
import { decideClose, type ParticipantInfo, type Rooms, SESSION_ROOM } from "./rooms.ts";

/** The longest metadata in a description, in bytes of JSON. A description becomes part of a message of NATS, which may have 1 MiB. */
const METADATA_MAX = 256 * 1024;

/** @param askAgent asks an agent whether it is alive; without it, a listed agent counts as alive */
export const liveRooms = (client: RoomServiceClient, askAgent?: AskAgent): Rooms => ({
  async close(room, session) {
    const [present, isOwnRoom] = await Promise.all([
      participantsIn(client, room),
      session.isOwnRoom || hasOwnOptions(client, room),
    ]);
    const decision = decideClose(present, { ...session, isOwnRoom });
    if (decision === "delete") return this.delete(room);
    for (const identity of decision.remove) await this.remove(room, identity);
  },
  async create(room, options, mayExist = false) {
    // LiveKit would change the options of a room that is there.
    const found = mayExist ? await find(client, room) : undefined;
    const made =
      found ??
      (await orUnavailable(`creating the room ${room}`, () =>
        client.createRoom({
          name: room,
          emptyTimeout: options.emptyTimeoutS,
          departureTimeout: options.departureTimeoutS,
        }),
      ));
    const { turnPassword: _secret, metadata = "", ...described } = made.toJson() as LiveKitRoom;
    return Buffer.byteLength(JSON.stringify(metadata)) > METADATA_MAX
      ? described
      : { ...described, metadata };
  },
  async config(room) {
    const found = await find(client, room);
    if (found === undefined) return undefined;
    const { departureTimeout, emptyTimeout, maxParticipants, metadata } = found;
    return { departureTimeout, emptyTimeout, maxParticipants, metadata };
  },
  async delete(room) {
    await orUnavailable(`deleting the room ${room}`, () => ignoreMissing(client.deleteRoom(room)));
  },
  async list() {
    const rooms = await orUnavailable("listing rooms", () => client.listRooms());
    return rooms.map((room) => ({
      name: room.name,
      createdAtS: Number(room.creationTime),
      participants: room.numParticipants,
    }));
  },
  participants: (room) => participantsIn(client, room),
  async answers(room, identity, withinMs) {
    // The list shows immediately that a participant is absent, while an unanswered RPC takes seconds.
    const stop = new AbortController();
    const answer = orUnavailable(`asking ${identity} in ${room} whether it is alive`, async () =>
      askAgent === undefined ? "unsupported" : await askAgent(room, identity, withinMs, stop.signal),
    );
    answer.catch(() => {});
    try {
      const present = await participantsIn(client, room);
      if (!present.some((participant) => participant.identity === identity)) return false;
      return (await answer) !== "silent";
    } finally {
      stop.abort();
    }
  },
  async remove(room, identity) {
    await orUnavailable(`removing ${identity} from ${room}`, () =>
      ignoreMissing(client.removeParticipant(room, identity)),
    );
  },
});

const find = async (client: RoomServiceClient, room: string): Promise<Room | undefined> =>
  (await orUnavailable(`finding the room ${room}`, () => client.listRooms([room])))[0];

async function hasOwnOptions(client: RoomServiceClient, room: string): Promise<boolean> {
  const found = await find(client, room);
  return (
    found?.emptyTimeout === SESSION_ROOM.emptyTimeoutS &&
    found.departureTimeout === SESSION_ROOM.departureTimeoutS
  );
}

async function participantsIn(client: RoomServiceClient, room: string): Promise<ParticipantInfo[]> {
  const found = await orUnavailable(`listing the participants of ${room}`, () =>
    ignoreMissing(client.listParticipants(room)),
  );
  return (found ?? []).map((participant) => ({
    identity: participant.identity,
    isAgent: participant.kind === ParticipantInfo_Kind.AGENT,
    ...(participant.kind === ParticipantInfo_Kind.SIP ? { isPhone: true as const } : {}),
    ...(isMachine(participant) ? { isMachine: true as const } : {}),
    attributes: participant.attributes,
    joinedAtMs: Number(participant.joinedAtMs),
  }));
}

const isMachine = ({ kind, permission }: LiveKitParticipant): boolean =>
  kind === ParticipantInfo_Kind.INGRESS ||
  kind === ParticipantInfo_Kind.EGRESS ||
  permission?.hidden === true;

async function ignoreMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof TwirpError && error.code === "not_found") return undefined;
    throw error;
  }
}

async function orUnavailable<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new GreenroomError("livekit_unavailable", `${doing} failed: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
