// An agent of a simulated agent process, which joins rooms and plays the user's `entry`.
import type { ConversationItem } from "../../../libs/contracts/sessions/conversation.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { JobError, JobRequest, ProcessToHost } from "../../../services/agent-host/pool/messages.ts";
import type { Facts } from "../checks/facts.ts";
import type { Gone, Guest, SimLiveKit } from "../livekit/sim-livekit.ts";
import type { Misbehaviour } from "../scenario.ts";
import type { Trace } from "../trace.ts";

export interface AgentWorld {
  /** The instance of the host that owns the agent. */
  readonly host: string;
  readonly livekit: SimLiveKit;
  readonly facts: Facts;
  readonly trace: Trace;
  readonly clock: Clock;
  send(message: ProcessToHost): void;
  dice(what: keyof Misbehaviour): boolean;
  between(from: number, to: number): number;
  /** False while the agent process hangs. */
  isResponsive(): boolean;
  responsiveSinceMs(): number;
  /** Called when the agent starts, with or without the conversation of a previous attempt. */
  onResumes(job: JobRequest): void;
  onClosed(): void;
  dieHere(reason: string): void;
  hangHere(): void;
  reportStrayError(): void;
}

interface Seat {
  readonly room: string;
  readonly guest: Guest;
}

/** An agent that ends by itself ends by this time: after a long talk because its provider failed, else by a shutdown. */
const LONGEST_TALK_MS = 8000;
const LONG_TALK_MS = 6000;
const SHUT_DOWN = { reason: "the agent shut down" };
const PROVIDER_FAILED = {
  reason: "the agent's code failed",
  error: { message: "APIError: the provider is away", retryable: true },
};
/** The interval of "active" messages while a human is in the room. */
const SPEAKS_EVERY_MS = 3000;

export class SimAgent {
  readonly #slot: string;
  readonly #world: AgentWorld;
  #seat: Seat | undefined;
  #job: JobRequest | undefined;
  #items: ConversationItem[] = [];
  #isOver = false;
  #isReady = false;
  #humans = false;

  constructor(slot: string, world: AgentWorld) {
    this.#slot = slot;
    this.#world = world;
  }

  get isBusy(): boolean {
    return this.#job !== undefined;
  }

  get jobNow(): JobRequest | undefined {
    return this.#job;
  }

  /** Joins a standby room, to be connected when a session is assigned. */
  connectStandby(token: string): void {
    if (this.#job !== undefined) return;
    const { dice, send } = this.#world;
    this.#enter(token, (seat) => {
      if (seat === undefined || dice("standbyFails")) {
        this.#leave(seat);
        send({ type: "standby_failed", slot: this.#slot, error: "the standby room can't be joined" });
      } else if (this.#job !== undefined || this.#isOver) this.#leave(seat);
      else {
        this.#seat = seat;
        send({ type: "hot", slot: this.#slot });
      }
    });
  }

  run(job: JobRequest): void {
    const { facts, clock, between } = this.#world;
    this.#job = job;
    this.#items = job.resumes?.items ?? [];
    this.#world.onResumes(job);
    facts.onRun(this.#world.host, this.#slot, job.sessionId, job.attempt);
    const standby = this.#seat;
    if (job.room === undefined && standby !== undefined) {
      this.#joined(standby);
      clock.after(between(1, 60), () => this.#entry());
      return;
    }
    this.#seat = undefined;
    this.#leave(standby);
    if (job.token === undefined) {
      this.#end({ reason: "the agent's code failed", error: { message: "no token", retryable: true } });
      return;
    }
    if (this.#world.dice("staysOut")) return;
    this.#enter(job.token, (seat) => {
      if (this.#isOver) this.#leave(seat);
      else if (seat === undefined)
        this.#end({ reason: "the agent's code failed", error: { message: "no room", retryable: true } });
      else {
        this.#seat = seat;
        this.#joined(seat);
        clock.after(between(1, 200), () => this.#entry());
      }
    });
  }

  /** Leaves the session at the host's request. */
  release(reason: string): void {
    if (!this.#isOver) this.#finish(reason);
  }

  leaveRoom(): void {
    this.#isOver = true;
    this.#leave(this.#seat);
    this.#seat = undefined;
  }

  /** Disappears without leaving, because the process was killed. */
  vanish(): void {
    this.#isOver = true;
    if (this.#seat !== undefined) this.#world.livekit.vanish(this.#seat.room, this.#seat.guest);
  }

  /** Plays the user's agent file, once the agent is in the room. */
  #entry(): void {
    if (this.#isOver) return;
    const { dice, dieHere, hangHere } = this.#world;
    if (dice("throws")) this.#throw();
    else if (dice("dies")) dieHere("a bug in the agent");
    else if (dice("hangs")) hangHere();
    else this.#converse();
  }

  #converse(): void {
    const { dice, reportStrayError, clock, between } = this.#world;
    if (dice("leavesStrayError")) reportStrayError();
    if (!dice("neverReady")) this.#ready();
    if (dice("endsItself")) {
      const lastsMs = between(0, LONGEST_TALK_MS);
      clock.after(lastsMs, () => this.#end(lastsMs < LONG_TALK_MS ? SHUT_DOWN : PROVIDER_FAILED));
    }
    this.#talk();
  }

  #throw(): void {
    const retryable = this.#world.between(0, 1) < 0.7;
    this.#end({ reason: "the agent's code failed", error: { message: "Error: entry threw", retryable } });
  }

  #ready(): void {
    if (this.#job === undefined || this.#isOver || this.#isReady) return;
    this.#isReady = true;
    const { facts, send } = this.#world;
    facts.onReportedReady(this.#job.sessionId, this.#job.attempt);
    send({ type: "ready", slot: this.#slot, ...this.#location() });
  }

  #talk(): void {
    if (this.#isOver) return;
    if (this.#humans) {
      this.#world.send({ type: "active", slot: this.#slot });
      this.#checkpoint();
    }
    this.#world.clock.after(SPEAKS_EVERY_MS, () => this.#talk());
  }

  /** Adds one item and sends the whole conversation to the host, which real agents do after each turn. */
  #checkpoint(): void {
    const { sessionId = "", attempt = 0 } = this.#job ?? {};
    const item = {
      id: `${sessionId}#${attempt}.${this.#items.length}`,
      type: "message",
      createdAt: 0,
    } as const;
    this.#items = [...this.#items, item];
    this.#world.send({ type: "conversation", slot: this.#slot, items: this.#items, omitted: 0 });
  }

  #joined(seat: Seat): void {
    const { facts, livekit, send } = this.#world;
    const { sessionId, attempt } = this.#job as JobRequest;
    // The server may already have removed the agent, which the agent doesn't know yet.
    if (livekit.inside(seat.room).includes(seat.guest))
      facts.onServes(seat.room, seat.guest, { sessionId, attempt, slot: this.#slot, host: this.#world.host });
    send({ type: "joined", slot: this.#slot, ...this.#location() });
    if (this.#humans) send({ type: "user", slot: this.#slot, present: true, hungUp: false });
  }

  #location() {
    return { room: this.#seat?.room ?? "", identity: this.#seat?.guest.identity ?? "" };
  }

  #end(ending: { reason: string; error?: JobError; lost?: boolean }): void {
    if (this.#isOver) return;
    this.#world.send({ type: "ended", slot: this.#slot, lost: false, ...ending });
    this.#finish(ending.reason);
  }

  /** Cleans up, which takes time, and leaves. */
  #finish(reason: string): void {
    this.#isOver = true;
    const { between, clock, onClosed, send, trace } = this.#world;
    trace.remark(this.#slot, `leaves: ${reason}`);
    clock.after(between(1, 400), () => {
      this.#leave(this.#seat);
      this.#seat = undefined;
      send({ type: "left", slot: this.#slot });
      onClosed();
      send({ type: "closed", slot: this.#slot });
    });
  }

  #enter(token: string, then: (seat: Seat | undefined) => void): void {
    const { between, clock, livekit } = this.#world;
    clock.after(between(10, 150), () => {
      let own: Seat | undefined;
      own = livekit.enter(token, ({ identity }) => ({
        identity,
        isAgent: true,
        owner: this.#slot,
        process: this.#world.host.split(".")[0] ?? "",
        responsiveSinceMs: () => this.#world.responsiveSinceMs(),
        isResponsive: () => !this.#isOver && this.#world.isResponsive(),
        onOut: (reason) => clock.after(1, () => this.#onOut(own, reason)),
        onHumans: (present) => clock.after(1, () => this.#onHumans(own, present)),
      }));
      then(own);
    });
  }

  #onOut(seat: Seat | undefined, reason: Gone): void {
    if (seat === undefined || seat !== this.#seat) return;
    if (this.#job === undefined) {
      this.#seat = undefined;
      const error = "its standby room was closed";
      if (!this.#isOver) this.#world.send({ type: "standby_failed", slot: this.#slot, error });
    } else if (reason === "room_deleted") this.#end({ reason: "the room was closed" });
    else this.#end({ reason: `the agent lost its room (${reason})`, lost: true });
  }

  #onHumans(seat: Seat | undefined, present: boolean): void {
    if (seat === undefined || seat !== this.#seat || this.#humans === present) return;
    this.#humans = present;
    if (this.#job !== undefined && !this.#isOver)
      this.#world.send({ type: "user", slot: this.#slot, present, hungUp: false });
  }

  #leave(seat: Seat | undefined): void {
    if (seat !== undefined) this.#world.livekit.leave(seat.room, seat.guest);
  }
}
