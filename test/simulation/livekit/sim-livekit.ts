// LiveKit as a simulation plays it: rooms, who is in them, an API that takes time and fails.
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { LiveKit, RoomOptions, Rooms } from "../../../libs/livekit/rooms.ts";
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

/** One participant, as its own client sees the room. */
export interface Guest {
  readonly identity: string;
  readonly isAgent: boolean;
  /** Who it really is, whatever its token says. */
  readonly owner: string;
  /** The process over whose network it comes, when it isn't a human's own. */
  readonly process?: string;
  /** What it says of itself, and when it came, where a provider looks at that. */
  attributes?(): Readonly<Record<string, string>>;
  readonly joinedAtMs?: number;
  /** Whether its process can hear a question; without this it always can. */
  canHear?(): boolean;
  /** Since when it can without a pause, in ms of the world's clock. */
  hearsSinceMs?(): number;
  /** Told when it is out and did not go by itself. Nothing is told to one that is dead. */
  onOut(reason: Gone): void;
  /** Told when humans are there, or are no more. */
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

interface Pass {
  readonly room: string;
  readonly identity: string;
}

/** The SDK's own time-out for a call. */
const CALL_TIMEOUT_MS = 5000;
/** A process that was killed says no goodbye; the server notices after this. */
const LINGER_MS: readonly [number, number] = [2000, 20_000];
/** After this LiveKit gives up one whose network is broken, and its client knows of it. */
const CUT_LIMIT_MS = 15_000;
const DEFAULT_OPTIONS: RoomOptions = { emptyTimeoutS: 300, departureTimeoutS: 20 };

export class SimLiveKit {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #watch: RoomWatch;
  readonly #rooms = new Map<string, Room>();
  /** Of one call to the API. */
  failRate = 0;
  isAway = false;
  /** Called for each room that is over: what it held is over too. */
  onRoomGone: (room: string) => void = () => {};
  readonly #mendedAtMs = new Map<string, number>();
  /** Processes whose network to LiveKit is broken, each with what its clients are told when it is mended. */
  readonly #cut = new Map<string, (() => void)[]>();

  constructor(clock: Clock, random: Random, watch: RoomWatch) {
    this.#clock = clock;
    this.#random = random;
    this.#watch = watch;
  }

  /** LiveKit for one process, whose clock the answers come on. */
  forProcess(process: string, clock: Clock): LiveKit {
    const pass = async (wish: Pass) => JSON.stringify({ room: wish.room, identity: wish.identity });
    return {
      rooms: this.#api(process, clock),
      tokens: { forUser: pass, forAgent: pass },
      url: "ws://simulated.invalid",
      publicUrl: "ws://simulated.invalid",
      apiKey: "key",
      apiSecret: "secret",
      isSimulated: false,
    };
  }

  /** Breaks the network between one process and LiveKit, for its agents too. */
  cut(process: string): void {
    if (this.#cut.has(process)) return;
    const untold: (() => void)[] = [];
    this.#cut.set(process, untold);
    this.#clock.after(CUT_LIMIT_MS, () => {
      if (this.#cut.get(process) === untold) this.#giveUp(process);
    });
  }

  mend(process: string): void {
    if (this.#cut.has(process)) this.#mendedAtMs.set(process, this.#clock.monotonic());
    const untold = this.#cut.get(process) ?? [];
    this.#cut.delete(process);
    for (const tell of untold) tell();
  }

  /** Nothing is wrong any more. */
  heal(): void {
    this.failRate = 0;
    this.isAway = false;
    for (const process of [...this.#cut.keys()]) this.mend(process);
  }

  isCut(process: string | undefined): boolean {
    return process !== undefined && this.#cut.has(process);
  }

  /** Whether it could be asked and would answer; a ghost can't, nor one whose process or network hangs. */
  canBeAsked(room: string, guest: Guest): boolean {
    return this.inside(room).includes(guest) && guest.canHear?.() !== false && !this.isCut(guest.process);
  }

  /** Since when that was so without a pause. */
  couldBeAskedSinceMs(guest: Guest): number {
    return Math.max(guest.hearsSinceMs?.() ?? 0, this.#mendedAtMs.get(guest.process ?? "") ?? 0);
  }

  roomNames(): string[] {
    return [...this.#rooms.keys()];
  }

  has(room: string): boolean {
    return this.#rooms.has(room);
  }

  /** The room comes into being when it is missing, as with `auto_create`. */
  ensure(room: string): void {
    this.#open(room, DEFAULT_OPTIONS);
  }

  /** The server puts somebody out. */
  removeGuest(room: string, guest: Guest): void {
    if (this.#rooms.get(room)?.inside.get(guest.identity) === guest) this.#take(room, guest, "removed");
  }

  /** Whoever has this identity, though it be a ghost. */
  listed(room: string, identity: string): Guest | undefined {
    return this.#rooms.get(room)?.inside.get(identity);
  }

  /** Those who are there and alive. */
  inside(room: string): Guest[] {
    const found = this.#rooms.get(room);
    return found === undefined ? [] : [...found.inside.values()].filter((guest) => !found.ghosts.has(guest));
  }

  /** A client comes in; the room comes into being when it is missing, as with `auto_create`. */
  enter(token: string, make: (pass: Pass) => Guest): { room: string; guest: Guest } | undefined {
    if (this.isAway) return undefined;
    const pass = JSON.parse(token) as Pass;
    const guest = make(pass);
    if (this.isCut(guest.process)) return undefined;
    const room = this.#open(pass.room, DEFAULT_OPTIONS);
    const other = room.inside.get(guest.identity);
    if (other !== undefined) this.#take(pass.room, other, "duplicate_identity");
    room.inside.set(guest.identity, guest);
    // Agents keep no room open: only who comes for them does.
    if (!guest.isAgent) room.close();
    this.#watch.onIn(pass.room, guest);
    this.#tellHumans(room);
    return { room: pass.room, guest };
  }

  leave(room: string, guest: Guest): void {
    if (this.#rooms.get(room)?.inside.get(guest.identity) === guest) this.#take(room, guest, "left");
  }

  /** Its process is dead. The others see it until the server notices. */
  vanish(room: string, guest: Guest): void {
    const found = this.#rooms.get(room);
    if (found?.inside.get(guest.identity) !== guest || found.ghosts.has(guest)) return;
    found.ghosts.add(guest);
    this.#watch.onGone(room, guest, "vanished");
    this.#clock.after(this.#between(...LINGER_MS), () => this.leave(room, guest));
  }

  /** As a server that is killed and started again: it remembers no room. */
  restart(): void {
    for (const name of [...this.#rooms.keys()]) this.#delete(name, "server_restarted");
  }

  #api(process: string, clock: Clock): Rooms {
    const call = <T>(doing: string, work: () => T) => this.call(process, clock, doing, work);
    return {
      create: (room, options) => call(`creating room ${room}`, () => void this.#open(room, options)),
      delete: (room) => call(`deleting room ${room}`, () => this.#delete(room, "room_deleted")),
      list: () =>
        call("listing rooms", () =>
          [...this.#rooms].map(([name, room]) => ({ name, createdAtS: 0, participants: room.inside.size })),
        ),
      participants: (room) =>
        call(`listing who is in ${room}`, () =>
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
        if (this.canBeAsked(room, guest)) return true;
        await sleep(clock, withinMs);
        return false;
      },
      remove: (room, identity) =>
        call(`putting ${identity} out of ${room}`, () => {
          const guest = this.#rooms.get(room)?.inside.get(identity);
          if (guest !== undefined) this.#take(room, guest, "removed");
        }),
    };
  }

  /** It may fail before or after it was done, and at once or after a time-out, as calls over a network do. */
  call<T>(process: string, clock: Clock, doing: string, work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const fails = this.#random() < this.failRate;
      const isDone = this.#random() < 0.5;
      const slowly = this.#random() < 0.3;
      this.#clock.after(this.#between(1, 15), () => {
        const isCut = this.isCut(process);
        const isRefused = this.isAway || isCut || (fails && !isDone);
        const result = isRefused ? undefined : work();
        if (!isRefused && !fails) {
          clock.after(1, () => resolve(result as T));
          return;
        }
        const error = new GreenroomError("livekit_unavailable", `${doing}: the simulation lets it fail.`);
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
    for (const guest of room.inside.values()) this.#out(name, room, guest, reason);
  }

  #take(name: string, guest: Guest, reason: Gone): void {
    const room = this.#rooms.get(name);
    if (room === undefined) return;
    room.inside.delete(guest.identity);
    this.#out(name, room, guest, reason);
    this.#tellHumans(room);
    const humans = [...room.inside.values()].some(({ isAgent }) => !isAgent);
    if (humans || guest.isAgent) return;
    room.close = this.#clock.after(room.options.departureTimeoutS * 1000, () =>
      this.#delete(name, "room_deleted"),
    );
  }

  #out(name: string, room: Room, guest: Guest, reason: Gone): void {
    if (room.ghosts.has(guest)) return;
    this.#watch.onGone(name, guest, reason);
    if (reason === "left") return;
    const untold =
      guest.process === undefined || reason === "connection_lost" ? undefined : this.#cut.get(guest.process);
    if (untold === undefined) guest.onOut(reason);
    else untold.push(() => guest.onOut(reason));
  }

  #giveUp(process: string): void {
    for (const [name, { inside }] of [...this.#rooms]) {
      for (const guest of [...inside.values()]) {
        if (guest.process !== process) continue;
        this.#take(name, guest, "connection_lost");
      }
    }
  }

  #tellHumans(room: Room): void {
    const humans = [...room.inside.values()].some(({ isAgent }) => !isAgent);
    for (const guest of room.inside.values()) guest.onHumans(humans);
  }

  #between(from: number, to: number): number {
    return from + this.#random() * (to - from);
  }
}
