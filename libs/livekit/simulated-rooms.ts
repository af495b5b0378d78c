// Rooms in memory, for LIVEKIT_MOCK_MODE and simulations. They have participants but no media.
import { decideClose, type ParticipantInfo, type Rooms } from "./rooms.ts";

export interface SimulatedRooms extends Rooms {
  /** Acts like a participant's client. Creates a missing room. */
  join(room: string, participant: ParticipantInfo): void;
  leave(room: string, identity: string): void;
}

export function simulatedRooms(nowS: () => number = () => Math.floor(Date.now() / 1000)): SimulatedRooms {
  const rooms = new Map<
    string,
    { createdAtS: number; inside: Map<string, ParticipantInfo>; isOurs: boolean }
  >();
  const open = (name: string) => {
    const room = rooms.get(name) ?? {
      createdAtS: nowS(),
      inside: new Map<string, ParticipantInfo>(),
      isOurs: false,
    };
    rooms.set(name, room);
    return room;
  };
  return {
    async create(name) {
      if (!rooms.has(name)) open(name).isOurs = true;
      return undefined;
    },
    config: async (name) => (rooms.has(name) ? {} : undefined),
    async delete(name) {
      rooms.delete(name);
    },
    async close(name, session) {
      const { inside, isOurs = false } = rooms.get(name) ?? {};
      const isOwnRoom = session.isOwnRoom || isOurs;
      const decision = decideClose([...(inside?.values() ?? [])], { ...session, isOwnRoom });
      if (decision === "delete") rooms.delete(name);
      else for (const identity of decision.remove) inside?.delete(identity);
    },
    async list() {
      return [...rooms].map(([name, room]) => ({
        name,
        createdAtS: room.createdAtS,
        participants: room.inside.size,
      }));
    },
    async participants(name) {
      return [...(rooms.get(name)?.inside.values() ?? [])];
    },
    async answers(name, identity) {
      return rooms.get(name)?.inside.has(identity) ?? false;
    },
    async remove(name, identity) {
      rooms.get(name)?.inside.delete(identity);
    },
    join(name, participant) {
      open(name).inside.set(participant.identity, participant);
    },
    leave(name, identity) {
      rooms.get(name)?.inside.delete(identity);
    },
  };
}
