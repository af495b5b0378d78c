// Telephones that do as a test says, in place of LiveKit SIP: who is dialled, how it rings, and who is in the room.
import type { Callee, DialRequest, DialResult, SipCalls } from "../../../libs/livekit/sip-calls.ts";

export interface ScriptedCall extends DialRequest {
  /** How the dialling ends, for whoever waits for it. */
  readonly settle: (dialled: DialResult) => void;
}

export class ScriptedPhones implements SipCalls {
  /** Every request to dial that ever went out. */
  readonly dialled: ScriptedCall[] = [];
  /** What becomes of the next requests instead of being sent. */
  readonly mishaps: DialResult[] = [];
  readonly removed: string[] = [];
  readonly #callees = new Map<string, Callee>();
  /** False: LiveKit can't be asked. */
  isReachable = true;

  dial(call: DialRequest): Promise<DialResult> {
    const mishap = this.mishaps.shift();
    if (mishap?.is === "not sent") return Promise.resolve(mishap);
    return new Promise((resolve) => {
      const settle = (dialled: DialResult) => {
        if (dialled.is !== "answered") this.#callees.delete(`${call.room}/${call.identity}`);
        resolve(dialled);
      };
      this.dialled.push({ ...call, settle });
      this.line(call, "dialing");
      if (mishap !== undefined) resolve(mishap);
    });
  }

  async observe(room: string, identity: string): Promise<Callee | undefined> {
    if (!this.isReachable) throw new Error("LiveKit is away");
    return this.#callees.get(`${room}/${identity}`);
  }

  async remove(room: string, identity: string): Promise<void> {
    if (!this.isReachable) throw new Error("LiveKit is away");
    this.removed.push(`${room}/${identity}`);
    this.#callees.delete(`${room}/${identity}`);
    // As LiveKit SIP does, whose participant is put out while it rings.
    for (const call of this.dialled)
      if (call.room === room && call.identity === identity)
        call.settle({ is: "rang out", reason: "canceled sip request timed out" });
  }

  /** How a callee's line stands from now on; undefined: they aren't in the room. */
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
    call.settle({ is: "answered", callId: "SCL_1" });
  }
}
