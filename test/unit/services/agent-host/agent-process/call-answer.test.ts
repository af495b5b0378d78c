// When an agent may be heard: not while its callee's telephone rings.
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

/** A room whose participants come, change and go as a test says. */
class FakeRoom extends EventEmitter {
  readonly remoteParticipants = new Map<string, RemoteParticipant>();
  isConnected = true;

  come(identity: string, status?: string, kind = ParticipantKind.SIP): RemoteParticipant {
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

  go(identity: string): void {
    this.remoteParticipants.delete(identity);
  }
}

function scene(callee: string | undefined = CALLEE) {
  const room = new FakeRoom();
  const answer = new CallAnswer(callee, room as unknown as JobRoom);
  let changes = 0;
  answer.follow(() => {
    changes += 1;
  });
  return { room, answer, changes: () => changes };
}

/** Whether a promise has settled once everything else has. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const done = () => {
    settled = true;
  };
  promise.then(done, done);
  await new Promise(setImmediate);
  return settled;
}

describe("an answer", () => {
  test("comes when the callee's line is active, and not while it rings", async () => {
    const { room, answer, changes } = scene();
    const wait = answer.wait();
    const callee = room.come(CALLEE, "dialing");
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

  test("isn't that of somebody else in the room", () => {
    const { room, answer } = scene();
    const visitor = room.come("ann", undefined, ParticipantKind.STANDARD);
    room.come("phone-other", "active");
    room.line("phone-other", "active");
    expect(answer.isAwaited).toBe(true);
    expect(answer.isThere(visitor)).toBe(true);
  });

  test("was given long ago for an agent that goes on with the call", async () => {
    const { room, answer } = scene();
    room.remoteParticipants.set(CALLEE, {
      identity: CALLEE,
      attributes: { "sip.callStatus": "active" },
      info: { kind: ParticipantKind.SIP },
    } as unknown as RemoteParticipant);
    answer.look();
    expect(answer.isAwaited).toBe(false);
    await answer.wait();
  });

  test("isn't waited for without a telephone", async () => {
    const { room, answer, changes } = scene("nobody");
    const none = new CallAnswer(undefined, room as unknown as JobRoom);
    none.follow(() => expect.unreachable());
    expect(none.isAwaited).toBe(false);
    await none.wait();
    expect(none.isThere(room.come("ann", undefined, ParticipantKind.STANDARD))).toBe(true);
    expect(none.isThere(room.come("agent", undefined, ParticipantKind.AGENT))).toBe(false);
    expect(none.hasHungUp).toBe(false);
    expect(answer.isAwaited).toBe(true);
    expect(changes()).toBe(2);
  });

  test("that never comes frees whoever waits for it", async () => {
    const { answer } = scene();
    const wait = answer.wait();
    answer.giveUp();
    await expect(wait).rejects.toThrow("before the call was answered");
  });

  test("tells a callee who hung up from one who never answered", () => {
    const { room, answer } = scene();
    room.come(CALLEE, "ringing");
    room.go(CALLEE);
    expect(answer.hasHungUp).toBe(false);
    room.come(CALLEE, "active");
    expect(answer.hasHungUp).toBe(false);
    room.go(CALLEE);
    expect(answer.hasHungUp).toBe(true);
  });
});

describe("ctx.waitForParticipant", () => {
  const inFront = (callee?: string) => {
    const { room, answer } = scene(callee);
    let waiting = 0;
    let come: (participant: RemoteParticipant) => void = () => {};
    const context = {
      waitForParticipant: (_identity?: string) =>
        new Promise<RemoteParticipant>((resolve) => {
          come = resolve;
        }),
    } as unknown as JobContext;
    answer.standInFrontOf(context, () => {
      waiting += 1;
    });
    return { room, answer, context, waiting: () => waiting, come: (one: RemoteParticipant) => come(one) };
  };

  test("gives the callee when they have answered, and says before that the agent is ready for them", async () => {
    const { room, context, waiting, come } = inFront();
    const found = context.waitForParticipant();
    expect(waiting()).toBe(1);
    const callee = room.come(CALLEE, "ringing");
    come(callee);
    expect(await isSettled(found)).toBe(false);
    room.line(CALLEE, "active");
    expect(await found).toBe(callee);
    void context.waitForParticipant();
    expect(waiting()).toBe(1);
  });

  test("waits for anybody else as it always does", async () => {
    const { room, context, waiting, come } = inFront();
    const found = context.waitForParticipant("ann");
    const ann = room.come("ann", undefined, ParticipantKind.STANDARD);
    come(ann);
    expect(await found).toBe(ann);
    expect(waiting()).toBe(0);
  });
});

describe("what an agent would be heard by", () => {
  initializeLogger({ pretty: false, level: "silent" });
  const rate = 16_000;
  const frame = () => new AudioFrame(new Int16Array(160), rate, 1, 160);
  let job: RunningJob | undefined;
  const speechOf = () =>
    voice.SpeechHandle.create() as voice.SpeechHandle & {
      _authorizeGeneration(): void;
      _waitForAuthorization(): Promise<void>;
    };
  const taken: AudioFrame[] = [];
  AudioSource.prototype.captureFrame = async (one: AudioFrame) => {
    taken.push(one);
  };
  muteUntilAnswered(() => job);
  const held = () => {
    const made = scene();
    job = { answer: made.answer } as unknown as RunningJob;
    taken.length = 0;
    return made;
  };

  test("its speech, waits for the answer though its turn has come", async () => {
    const { room } = held();
    const speech = speechOf();
    const turn = speech._waitForAuthorization();
    speech._authorizeGeneration();
    expect(await isSettled(turn)).toBe(false);
    room.come(CALLEE, "active");
    await turn;
  });

  test("its own sounds, wait in their order and are all played", async () => {
    const { room } = held();
    const source = Object.create(AudioSource.prototype) as AudioSource;
    const frames = [frame(), frame(), frame()];
    const captured = Promise.all(frames.map((one) => source.captureFrame(one)));
    expect(await isSettled(captured)).toBe(false);
    expect(taken).toEqual([]);
    room.come(CALLEE, "active");
    await captured;
    expect(taken).toEqual(frames);
  });

  test("sounds of a file that doesn't wait for them, are dropped when there are too many", async () => {
    const { room } = held();
    const source = Object.create(AudioSource.prototype) as AudioSource;
    const captured = Promise.all(Array.from({ length: 80 }, () => source.captureFrame(frame())));
    room.come(CALLEE, "active");
    await captured;
    expect(taken).toHaveLength(50);
  });

  test("without a job or a telephone, is heard at once", async () => {
    held();
    job = undefined;
    const source = Object.create(AudioSource.prototype) as AudioSource;
    await source.captureFrame(frame());
    expect(taken).toHaveLength(1);
    const speech = speechOf();
    speech._authorizeGeneration();
    await speech._waitForAuthorization();
  });
});
