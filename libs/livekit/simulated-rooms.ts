// Rooms in memory, for LIVEKIT_MOCK_MODE and simulations. They have participants but no media.
import type { ParticipantInfo, Rooms } from "./rooms.ts";

export interface SimulatedRooms extends Rooms {
  /** Acts like a participant's client. Creates a missing room. */
  join(room: string, participant: ParticipantInfo): void;
  leave(room: string, identity: string): void;
}

export function simulatedRooms(nowS: () => number = () => Math.floor(Date.now() / 1000)): SimulatedRooms {
  const rooms = new Map<string, { createdAtS: number; inside: Map<string, ParticipantInfo> }>();
  const open = (name: string) => {
    const room = rooms.get(name) ?? { createdAtS: nowS(), inside: new Map<string, ParticipantInfo>() };
    rooms.set(name, room);
    return room;
  };
  return {
    async create(name) {
      open(name);
    },
    async delete(name) {
      rooms.delete(name);
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
