// A simulated LiveKit: rooms, their participants, and an API that takes time and fails.
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import {
  decideClose,
  type LiveKit,
  type RoomOptions,
  type Rooms,
  SESSION_ROOM,
} from "../../../libs/livekit/rooms.ts";
import { type Clock, sleep } from "../../../libs/runtime/clock.ts";
import type { Random } from "../../kit/random.ts";

export type Gone =
  | "left"
  | "vanished"
  | "room_deleted"
  | "removed"
  | "duplicate_identity"
  | "connection_lost"
  | "server_restarted";

/** A participant, with the callbacks of its own client. */
export interface Guest {
  readonly identity: string;
  readonly isAgent: boolean;
  /** The component that joined, whatever identity its token contains. */
  readonly owner: string;
  /** The process whose network carries the connection; undefined for humans. */
  readonly process?: string;
  /** The attributes and the time of joining, where a provider reads them. */
  attributes?(): Readonly<Record<string, string>>;
  readonly joinedAtMs?: number;
  /** Whether the client's process answers a ping; absent: always. */
  isResponsive?(): boolean;
  /** Since when without interruption, in ms of the world's clock. */
  responsiveSinceMs?(): number;
  /** Called when the participant is removed or cut off; never for a dead process. */
  onOut(reason: Gone): void;
  /** Called when humans are present, or no longer are. */
  onHumans(present: boolean): void;
}

export interface RoomWatch {
  onIn(room: string, guest: Guest): void;
  onGone(room: string, guest: Guest, reason: Gone): void;
}

interface Room {
  readonly options: RoomOptions;
  readonly inside: Map<string, Guest>;
  readonly ghosts: Set<Guest>;
  close: () => void;
}

interface Token {
  readonly room: string;
  readonly identity: string;
}

/** The SDK's own time-out for a call. */
const CALL_TIMEOUT_MS = 5000;
/** How long the server takes to notice a killed process. */
const LINGER_MS: readonly [number, number] = [2000, 20_000];
/** After this time with a broken network, the server and the client both give up the connection. */
const CUT_LIMIT_MS = 15_000;
const DEFAULT_OPTIONS: RoomOptions = { emptyTimeoutS: 300, departureTimeoutS: 20 };

export class SimLiveKit {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #watch: RoomWatch;
  readonly #rooms = new Map<string, Room>();
  /** The probability that one API call fails. */
  failRate = 0;
  isDown = false;
  /** Called for each deleted room. */
  onRoomGone: (room: string) => void = () => {};
  readonly #mendedAtMs = new Map<string, number>();
  /** Processes whose network to LiveKit is broken, each with the notifications its clients get when it is mended. */
  readonly #cut = new Map<string, (() => void)[]>();

  constructor(clock: Clock, random: Random, watch: RoomWatch) {
    this.#clock = clock;
    this.#random = random;
    this.#watch = watch;
  }

  /** LiveKit for one process, on whose clock the answers arrive. */
  forProcess(process: string, clock: Clock): LiveKit {
    const tokenFor = async ({ room, identity }: Token) => JSON.stringify({ room, identity });
    return {
      rooms: this.#api(process, clock),
      tokens: { forUser: tokenFor, forAgent: tokenFor },
      url: "ws://simulated.invalid",
      publicUrl: "ws://simulated.invalid",
      apiKey: "key",
      apiSecret: "secret",
      isSimulated: false,
    };
  }

  /** Breaks the network between LiveKit and one process, including its agents. */
  cut(process: string): void {
    if (this.#cut.has(process)) return;
    const pending: (() => void)[] = [];
    this.#cut.set(process, pending);
    this.#clock.after(CUT_LIMIT_MS, () => {
      if (this.#cut.get(process) === pending) this.#loseConnections(process);
    });
  }

  mend(process: string): void {
    if (this.#cut.has(process)) this.#mendedAtMs.set(process, this.#clock.monotonic());
    const pending = this.#cut.get(process) ?? [];
    this.#cut.delete(process);
    for (const notify of pending) notify();
  }

  /** Ends all faults. */
  heal(): void {
    this.failRate = 0;
    this.isDown = false;
    for (const process of [...this.#cut.keys()]) this.mend(process);
  }

  isCut(process: string | undefined): boolean {
    return process !== undefined && this.#cut.has(process);
  }

  /** Whether the participant would answer a ping; a ghost or one with a hung process or broken network would not. */
  isReachable(room: string, guest: Guest): boolean {
    return (
      this.inside(room).includes(guest) && guest.isResponsive?.() !== false && !this.isCut(guest.process)
    );
  }

  /** Since when the participant is reachable without interruption. */
  reachableSinceMs(guest: Guest): number {
    return Math.max(guest.responsiveSinceMs?.() ?? 0, this.#mendedAtMs.get(guest.process ?? "") ?? 0);
  }

  roomNames(): string[] {
    return [...this.#rooms.keys()];
  }

  has(room: string): boolean {
    return this.#rooms.has(room);
  }

  /** Creates the room if it doesn't exist, like `auto_create`. */
  ensure(room: string): void {
    this.#open(room, DEFAULT_OPTIONS);
  }

  /** Removes a participant, on the server's side. */
  removeGuest(room: string, guest: Guest): void {
    if (this.#rooms.get(room)?.inside.get(guest.identity) === guest) this.#evict(room, guest, "removed");
  }

  /** The participant with this identity, even a ghost. */
  listed(room: string, identity: string): Guest | undefined {
    return this.#rooms.get(room)?.inside.get(identity);
  }

  /** The participants whose processes are alive. */
  inside(room: string): Guest[] {
    const found = this.#rooms.get(room);
    return found === undefined ? [] : [...found.inside.values()].filter((guest) => !found.ghosts.has(guest));
  }

  /** Lets a client join; creates the room if it doesn't exist, like `auto_create`. */
  enter(token: string, make: (content: Token) => Guest): { room: string; guest: Guest } | undefined {
    if (this.isDown) return undefined;
    const content = JSON.parse(token) as Token;
    const guest = make(content);
    if (this.isCut(guest.process)) return undefined;
    const room = this.#open(content.room, DEFAULT_OPTIONS);
    const other = room.inside.get(guest.identity);
    if (other !== undefined) this.#evict(content.room, other, "duplicate_identity");
    room.inside.set(guest.identity, guest);
    // Agents don't keep a room open; only humans do.
    if (!guest.isAgent) room.close();
    this.#watch.onIn(content.room, guest);
    this.#notifyOfHumans(room);
    return { room: content.room, guest };
  }

  leave(room: string, guest: Guest): void {
    if (this.#rooms.get(room)?.inside.get(guest.identity) === guest) this.#evict(room, guest, "left");
  }

  /** Turns the participant of a dead process into a ghost, which the others see until the server notices. */
  vanish(room: string, guest: Guest): void {
    const found = this.#rooms.get(room);
    if (found?.inside.get(guest.identity) !== guest || found.ghosts.has(guest)) return;
    found.ghosts.add(guest);
    this.#watch.onGone(room, guest, "vanished");
    this.#clock.after(this.#between(...LINGER_MS), () => this.leave(room, guest));
  }

  /** Deletes every room, like a server that is killed and restarted. */
  restart(): void {
    for (const name of [...this.#rooms.keys()]) this.#delete(name, "server_restarted");
  }

  #api(process: string, clock: Clock): Rooms {
    const call = <T>(doing: string, work: () => T) => this.call(process, clock, doing, work);
    return {
      create: (room, options) =>
        call(`creating room ${room}`, () => {
          this.#open(room, options);
          return undefined;
        }),
      config: (room) => call(`finding room ${room}`, () => (this.#rooms.has(room) ? {} : undefined)),
      delete: (room) => call(`deleting room ${room}`, () => this.#delete(room, "room_deleted")),
      close: (room, session) =>
        call(`closing room ${room}`, () => {
          const { inside, options } = this.#rooms.get(room) ?? {};
          const isOwnRoom = session.isOwnRoom || options === SESSION_ROOM;
          const decision = decideClose([...(inside?.values() ?? [])], { ...session, isOwnRoom });
          if (decision === "delete") return this.#delete(room, "room_deleted");
          for (const identity of decision.remove) this.#removeListed(room, identity);
        }),
      list: () =>
        call("listing rooms", () =>
          [...this.#rooms].map(([name, room]) => ({ name, createdAtS: 0, participants: room.inside.size })),
        ),
      participants: (room) =>
        call(`listing the participants of ${room}`, () =>
          [...(this.#rooms.get(room)?.inside.values() ?? [])].map((guest) => ({
            identity: guest.identity,
            isAgent: guest.isAgent,
            ...(guest.attributes === undefined ? {} : { attributes: { ...guest.attributes() } }),
            ...(guest.joinedAtMs === undefined ? {} : { joinedAtMs: guest.joinedAtMs }),
          })),
        ),
      answers: async (room, identity, withinMs) => {
        const guest = await call(`asking ${identity} in ${room}`, () =>
          this.#rooms.get(room)?.inside.get(identity),
        );
        if (guest === undefined) return false;
        if (this.isReachable(room, guest)) return true;
        await sleep(clock, withinMs);
        return false;
      },
      remove: (room, identity) =>
        call(`removing ${identity} from ${room}`, () => this.#removeListed(room, identity)),
    };
  }

  #removeListed(room: string, identity: string): void {
    const guest = this.#rooms.get(room)?.inside.get(identity);
    if (guest !== undefined) this.#evict(room, guest, "removed");
  }

  /** A failing call fails before or after its effect, at once or after a time-out, like calls over a network. */
  call<T>(process: string, clock: Clock, doing: string, work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const fails = this.#random() < this.failRate;
      const isDone = this.#random() < 0.5;
      const slowly = this.#random() < 0.3;
      this.#clock.after(this.#between(1, 15), () => {
        const isCut = this.isCut(process);
        const isRefused = this.isDown || isCut || (fails && !isDone);
        const result = isRefused ? undefined : work();
        if (!isRefused && !fails) {
          clock.after(1, () => resolve(result as T));
          return;
        }
        const error = new GreenroomError("livekit_unavailable", `${doing}: a simulated failure.`);
        clock.after(slowly || isCut ? CALL_TIMEOUT_MS : 2, () => reject(error));
      });
    });
  }

  #open(name: string, options: RoomOptions): Room {
    const present = this.#rooms.get(name);
    if (present !== undefined) return present;
    const room: Room = { options, inside: new Map(), ghosts: new Set(), close: () => {} };
    this.#rooms.set(name, room);
    room.close = this.#clock.after(options.emptyTimeoutS * 1000, () => this.#delete(name, "room_deleted"));
    return room;
  }

  #delete(name: string, reason: Gone): void {
    const room = this.#rooms.get(name);
    if (room === undefined) return;
    this.#rooms.delete(name);
    room.close();
    this.onRoomGone(name);
    for (const guest of room.inside.values()) this.#gone(name, room, guest, reason);
  }

  #evict(name: string, guest: Guest, reason: Gone): void {
    const room = this.#rooms.get(name);
    if (room === undefined) return;
    room.inside.delete(guest.identity);
    this.#gone(name, room, guest, reason);
    this.#notifyOfHumans(room);
    const humans = [...room.inside.values()].some(({ isAgent }) => !isAgent);
    if (humans || guest.isAgent) return;
    room.close = this.#clock.after(room.options.departureTimeoutS * 1000, () =>
      this.#delete(name, "room_deleted"),
    );
  }

  #gone(name: string, room: Room, guest: Guest, reason: Gone): void {
    if (room.ghosts.has(guest)) return;
    this.#watch.onGone(name, guest, reason);
    if (reason === "left") return;
    const pending =
      guest.process === undefined || reason === "connection_lost" ? undefined : this.#cut.get(guest.process);
    if (pending === undefined) guest.onOut(reason);
    else pending.push(() => guest.onOut(reason));
  }

  #loseConnections(process: string): void {
    for (const [name, { inside }] of [...this.#rooms]) {
      for (const guest of [...inside.values()]) {
        if (guest.process !== process) continue;
        this.#evict(name, guest, "connection_lost");
      }
    }
  }

  #notifyOfHumans(room: Room): void {
    const humans = [...room.inside.values()].some(({ isAgent }) => !isAgent);
    for (const guest of room.inside.values()) guest.onHumans(humans);
  }

  #between(from: number, to: number): number {
    return from + this.#random() * (to - from);
  }
}
