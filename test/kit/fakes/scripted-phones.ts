// Scripted telephones in place of LiveKit SIP: a test decides who answers, how a call rings and who is in the room.
import type { ParticipantInfo } from "../../../libs/livekit/rooms.ts";
import type { Callee, DialRequest, DialResult, SipCalls } from "../../../libs/livekit/sip-calls.ts";

export interface ScriptedCall extends DialRequest {
  /** Ends the dialing with this result. */
  readonly finish: (dialed: DialResult) => void;
}

export class ScriptedPhones implements SipCalls {
  /** Every dial request that was sent, oldest first. */
  readonly dialed: ScriptedCall[] = [];
  /** Failures that the next requests end in. */
  readonly mishaps: DialResult[] = [];
  readonly removed: string[] = [];
  /** The people in a room besides its callee. */
  readonly colleagues = new Map<string, string[]>();
  readonly #callees = new Map<string, Callee>();
  /** False simulates an outage of LiveKit. */
  isReachable = true;

  dial(call: DialRequest): Promise<DialResult> {
    const mishap = this.mishaps.shift();
    if (mishap?.is === "not sent") return Promise.resolve(mishap);
    return new Promise((resolve) => {
      const finish = (dialed: DialResult) => {
        if (dialed.is !== "answered") this.#callees.delete(`${call.room}/${call.identity}`);
        resolve(dialed);
      };
      this.dialed.push({ ...call, finish });
      this.line(call, "dialing");
      if (mishap !== undefined) resolve(mishap);
    });
  }

  async observe(room: string, identity: string): Promise<Callee | undefined> {
    if (!this.isReachable) throw new Error("LiveKit is away");
    return this.#callees.get(`${room}/${identity}`);
  }

  async participants(room: string): Promise<ParticipantInfo[]> {
    const others = this.colleagues.get(room) ?? [];
    const callees = [...this.#callees.keys()].filter((key) => key.startsWith(`${room}/`));
    const identities = [...callees.map((key) => key.slice(room.length + 1)), ...others];
    return identities.map((identity) => ({ identity, isAgent: false }));
  }

  async remove(room: string, identity: string): Promise<void> {
    if (!this.isReachable) throw new Error("LiveKit is away");
    this.removed.push(`${room}/${identity}`);
    this.#callees.delete(`${room}/${identity}`);
    // LiveKit SIP cancels a call whose participant is removed while the call rings.
    for (const call of this.dialed)
      if (call.room === room && call.identity === identity)
        call.finish({ is: "rang out", reason: "canceled sip request timed out" });
  }

  /** Sets the status of a callee; undefined means that the callee isn't in the room. */
  line(
    { room, identity }: Pick<DialRequest, "room" | "identity">,
    status: Callee["status"] | undefined,
  ): void {
    const key = `${room}/${identity}`;
    if (status === undefined) this.#callees.delete(key);
    else this.#callees.set(key, { status, callId: "SCL_1" });
  }

  answer(call: ScriptedCall): void {
    this.line(call, "active");
    call.finish({ is: "answered", callId: "SCL_1" });
  }
}
