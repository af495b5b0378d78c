// Silence of an agent while its callee's phone rings.
import { EventEmitter } from "node:events";
import { initializeLogger, type JobContext, voice } from "@livekit/agents";
import {
  AudioFrame,
  AudioSource,
  ParticipantKind,
  type RemoteParticipant,
  RoomEvent,
} from "@livekit/rtc-node";
import { describe, expect, test } from "vitest";
import { CallAnswer } from "../../../../../services/agent-host/agent-process/call-answer.ts";
import type { RunningJob } from "../../../../../services/agent-host/agent-process/job.ts";
import { muteUntilAnswered } from "../../../../../services/agent-host/agent-process/mute-until-answered.ts";
import type { JobRoom } from "../../../../../services/agent-host/agent-process/room.ts";

const CALLEE = "phone-s";
/** In a session without a phone call. */
const NO_CALLEE = "";

/** A room whose participants join, change and leave as a test requires. */
class FakeRoom extends EventEmitter {
  readonly remoteParticipants = new Map<string, RemoteParticipant>();
  isConnected = true;

  join(identity: string, status?: string, kind = ParticipantKind.SIP): RemoteParticipant {
    const attributes = status === undefined ? {} : { "sip.callStatus": status };
    const participant = { identity, attributes, info: { kind } } as unknown as RemoteParticipant;
    this.remoteParticipants.set(identity, participant);
    this.emit(RoomEvent.ParticipantConnected, participant);
    return participant;
  }

  line(identity: string, status: string): void {
    const participant = this.remoteParticipants.get(identity);
    Object.assign(participant?.attributes ?? {}, { "sip.callStatus": status });
    this.emit(RoomEvent.ParticipantAttributesChanged, { "sip.callStatus": status }, participant);
  }

  leave(identity: string): void {
    this.remoteParticipants.delete(identity);
  }
}

function scene(callee: string | undefined = CALLEE) {
  const room = new FakeRoom();
  const answer = new CallAnswer(callee === NO_CALLEE ? undefined : callee, room as unknown as JobRoom);
  let changes = 0;
  answer.follow(() => {
    changes += 1;
  });
  return { room, answer, changes: () => changes };
}

/** Whether a promise has settled, after all other work is done. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const done = () => {
    settled = true;
  };
  promise.then(done, done);
  await new Promise(setImmediate);
  return settled;
}

describe("CallAnswer", () => {
  test("is answered when the callee's line is active, not while it rings", async () => {
    const { room, answer, changes } = scene();
    const wait = answer.wait();
    const callee = room.join(CALLEE, "dialing");
    for (const status of ["ringing", "automation"]) {
      room.line(CALLEE, status);
      expect(answer.isAwaited).toBe(true);
      expect(answer.isThere(callee)).toBe(false);
    }
    expect(await isSettled(wait)).toBe(false);
    room.line(CALLEE, "active");
    expect(answer.isAwaited).toBe(false);
    await wait;
    expect(answer.isThere(callee)).toBe(true);
    expect(changes()).toBe(4);
  });

  test("ignores other participants of the room", () => {
    const { room, answer } = scene();
    const visitor = room.join("ann", undefined, ParticipantKind.STANDARD);
    room.join("phone-other", "active");
    room.line("phone-other", "active");
    expect(answer.isAwaited).toBe(true);
    expect(answer.isThere(visitor)).toBe(true);
  });

  test("is answered already for an agent that continues the call", async () => {
    const { room, answer } = scene();
    room.remoteParticipants.set(CALLEE, {
      identity: CALLEE,
      attributes: { "sip.callStatus": "active" },
      info: { kind: ParticipantKind.SIP },
    } as unknown as RemoteParticipant);
    answer.check();
    expect(answer.isAwaited).toBe(false);
    await answer.wait();
  });

  test("does not wait without a phone", async () => {
    const { room, answer, changes } = scene("nobody");
    const none = new CallAnswer(undefined, room as unknown as JobRoom);
    none.follow(() => expect.unreachable());
    expect(none.isAwaited).toBe(false);
    await none.wait();
    expect(none.isThere(room.join("ann", undefined, ParticipantKind.STANDARD))).toBe(true);
    expect(none.isThere(room.join("agent", undefined, ParticipantKind.AGENT))).toBe(false);
    expect(none.hasHungUp).toBe(false);
    expect(answer.isAwaited).toBe(true);
    expect(changes()).toBe(2);
  });

  test("rejects all waits when the callee never answers", async () => {
    const { answer } = scene();
    const wait = answer.wait();
    answer.giveUp();
    await expect(wait).rejects.toThrow("before the call was answered");
  });

  test("distinguishes a callee who hung up from one who never answered", () => {
    const { room, answer } = scene();
    room.join(CALLEE, "ringing");
    room.leave(CALLEE);
    expect(answer.hasHungUp).toBe(false);
    room.join(CALLEE, "active");
    expect(answer.hasHungUp).toBe(false);
    room.leave(CALLEE);
    expect(answer.hasHungUp).toBe(true);
  });
});

describe("ctx.waitForParticipant", () => {
  const inFront = (callee?: string) => {
    const { room, answer } = scene(callee);
    let waiting = 0;
    let join: (participant: RemoteParticipant) => void = () => {};
    const context = {
      waitForParticipant: (_identity?: string) =>
        new Promise<RemoteParticipant>((resolve) => {
          join = resolve;
        }),
    } as unknown as JobContext;
    let came = 0;
    answer.patchWaitForParticipant(context, {
      awaitUser: () => {
        waiting += 1;
      },
      userArrived: () => {
        came += 1;
      },
    });
    const counts = { waiting: () => waiting, came: () => came };
    return { room, answer, context, ...counts, join: (one: RemoteParticipant) => join(one) };
  };

  test("returns the callee after the answer, and reports the agent ready before that", async () => {
    const { room, context, waiting, join } = inFront();
    const found = context.waitForParticipant();
    expect(waiting()).toBe(1);
    const callee = room.join(CALLEE, "ringing");
    join(callee);
    expect(await isSettled(found)).toBe(false);
    room.line(CALLEE, "active");
    expect(await found).toBe(callee);
    void context.waitForParticipant();
    expect(waiting()).toBe(1);
  });

  test("reports that it waits for a user, and that the user came", async () => {
    const { room, context, waiting, came, join } = inFront(NO_CALLEE);
    const found = context.waitForParticipant("ann");
    expect([waiting(), came()]).toEqual([1, 0]);
    const ann = room.join("ann", undefined, ParticipantKind.STANDARD);
    join(ann);
    expect(await found).toBe(ann);
    expect([waiting(), came()]).toEqual([1, 1]);
  });

  test("reports no wait for a user who is there", () => {
    const { room, context, waiting } = inFront(NO_CALLEE);
    room.join("agent-a", undefined, ParticipantKind.AGENT);
    room.join("ann", undefined, ParticipantKind.STANDARD);
    void context.waitForParticipant();
    expect(waiting()).toBe(0);
    void context.waitForParticipant("bob");
    expect(waiting()).toBe(1);
  });
});

describe("muteUntilAnswered", () => {
  initializeLogger({ pretty: false, level: "silent" });
  const rate = 16_000;
  const frame = () => new AudioFrame(new Int16Array(160), rate, 1, 160);
  let job: RunningJob | undefined;
  const speechOf = () =>
    voice.SpeechHandle.create() as voice.SpeechHandle & {
      _authorizeGeneration(): void;
      _waitForAuthorization(): Promise<void>;
    };
  const played: AudioFrame[] = [];
  AudioSource.prototype.captureFrame = async (one: AudioFrame) => {
    played.push(one);
  };
  muteUntilAnswered(() => job);
  const mutedScene = () => {
    const made = scene();
    job = { answer: made.answer } as unknown as RunningJob;
    played.length = 0;
    return made;
  };

  test("delays speech until the answer, even when its turn is authorized", async () => {
    const { room } = mutedScene();
    const speech = speechOf();
    const turn = speech._waitForAuthorization();
    speech._authorizeGeneration();
    expect(await isSettled(turn)).toBe(false);
    room.join(CALLEE, "active");
    await turn;
  });

  test("delays captured frames in order, and plays all of them", async () => {
    const { room } = mutedScene();
    const source = Object.create(AudioSource.prototype) as AudioSource;
    const frames = [frame(), frame(), frame()];
    const captured = Promise.all(frames.map((one) => source.captureFrame(one)));
    expect(await isSettled(captured)).toBe(false);
    expect(played).toEqual([]);
    room.join(CALLEE, "active");
    await captured;
    expect(played).toEqual(frames);
  });

  test("drops frames of a file that doesn't await them, once there are too many", async () => {
    const { room } = mutedScene();
    const source = Object.create(AudioSource.prototype) as AudioSource;
    const captured = Promise.all(Array.from({ length: 80 }, () => source.captureFrame(frame())));
    room.join(CALLEE, "active");
    await captured;
    expect(played).toHaveLength(50);
  });

  test("delays nothing without a job or a phone", async () => {
    mutedScene();
    job = undefined;
    const source = Object.create(AudioSource.prototype) as AudioSource;
    await source.captureFrame(frame());
    expect(played).toHaveLength(1);
    const speech = speechOf();
    speech._authorizeGeneration();
    await speech._waitForAuthorization();
  });
});
