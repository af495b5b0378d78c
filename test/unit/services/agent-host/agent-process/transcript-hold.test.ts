// Transcripts wait for the page of a user who has just joined.
import { EventEmitter } from "node:events";
import {
  type LocalParticipant,
  ParticipantKind,
  type RemoteParticipant,
  RoomEvent,
  TextStreamWriter,
} from "@livekit/rtc-node";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { JobRoom } from "../../../../../services/agent-host/agent-process/room.ts";
import { TranscriptHold } from "../../../../../services/agent-host/agent-process/transcript-hold.ts";

const DELAY_MS = 1000;
const TRANSCRIPT = { topic: "lk.transcription" };

class FakeRoom extends EventEmitter {
  readonly remoteParticipants = new Map<string, RemoteParticipant>();

  join(identity: string, kind = ParticipantKind.STANDARD, attributes = {}): void {
    const participant = { identity, attributes, info: { kind } } as unknown as RemoteParticipant;
    this.remoteParticipants.set(identity, participant);
    this.emit(RoomEvent.ParticipantConnected, participant);
  }

  leave(identity: string): void {
    const participant = this.remoteParticipants.get(identity);
    this.remoteParticipants.delete(identity);
    this.emit(RoomEvent.ParticipantDisconnected, participant);
  }

  listen(identity: string): void {
    Object.assign(this.remoteParticipants.get(identity)?.attributes ?? {}, { "greenroom.listening": "true" });
    this.emit(RoomEvent.ParticipantAttributesChanged);
  }
}

function scene({ delayMs = DELAY_MS, there = [] as string[], pagesAreOpen = false, fails = false } = {}) {
  const room = new FakeRoom();
  for (const identity of there) room.join(identity);
  const sent: string[] = [];
  const errors: unknown[] = [];
  let streams = 0;
  const local = {
    streamText: async ({ topic = "" } = {}) => {
      if (fails) throw new Error("the room is closed");
      const name = `${++streams}`;
      sent.push(`${name} ${topic}`);
      const sink = new WritableStream<string>({
        write: (text) => void sent.push(`${name} ${text}`),
        close: () => void sent.push(`${name} end`),
      });
      return new TextStreamWriter(sink, { streamId: name, mimeType: "", topic, timestamp: 0 });
    },
  } as unknown as LocalParticipant;
  const hold = new TranscriptHold(room as unknown as JobRoom, delayMs, (error) => errors.push(error));
  hold.follow(pagesAreOpen);
  hold.hold(local);
  const say = async (...texts: string[]) => {
    const writer = await local.streamText(TRANSCRIPT);
    for (const text of texts) await writer.write(text);
    await writer.close();
  };
  return { errors, local, room, say, sent };
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe("the transcript of an agent", () => {
  test("waits until a person has been there for a while, in order", async () => {
    const { room, say, sent } = scene();
    await say("Hello", " there");
    await pass(60_000);
    expect(sent).toEqual([]);
    room.join("ann");
    await pass(DELAY_MS - 1);
    await say("Second");
    expect(sent).toEqual([]);
    await pass(1);
    expect(sent.filter((line) => line.startsWith("1"))).toEqual([
      "1 lk.transcription",
      "1 Hello",
      "1  there",
      "1 end",
    ]);
    expect(sent.indexOf("1 lk.transcription")).toBeLessThan(sent.indexOf("2 lk.transcription"));
    expect(sent).toContain("2 Second");
    await say("Third");
    expect(sent.slice(-3)).toEqual(["3 lk.transcription", "3 Third", "3 end"]);
  });

  test("waits again for a person who comes back", async () => {
    const { room, say, sent } = scene({ there: ["ann"] });
    await pass(DELAY_MS);
    room.leave("ann");
    room.join("ann");
    await say("Again");
    await pass(DELAY_MS - 1);
    expect(sent).toEqual([]);
    await pass(1);
    expect(sent).toContain("1 Again");
  });

  test("waits no longer for a person whose page already listens", async () => {
    const { room, say, sent } = scene({ there: ["ann"] });
    await say("Hello");
    await pass(10);
    room.listen("ann");
    await pass(0);
    expect(sent).toContain("1 Hello");
  });

  test("has no wait for a second person, nor after a failover", async () => {
    const first = scene({ there: ["ann"] });
    await pass(DELAY_MS);
    first.room.join("bob");
    await first.say("Hello");
    const later = scene({ there: ["ann"], pagesAreOpen: true });
    await later.say("Hello");
    for (const { sent } of [first, later]) expect(sent).toContain("1 Hello");
  });

  test("waits for a limited time if only other agents are there", async () => {
    const { room, say, sent } = scene();
    room.join("avatar", ParticipantKind.AGENT);
    await say("Hello");
    await pass(9999);
    expect(sent).toEqual([]);
    await pass(1);
    expect(sent).toContain("1 Hello");
  });

  test("has no wait with a delay of 0, and other text never has one", async () => {
    const off = scene({ delayMs: 0 });
    await off.say("Hello");
    expect(off.sent).toContain("1 Hello");
    const { local, sent } = scene();
    await (await local.streamText({ topic: "lk.chat" })).write("Hello");
    expect(sent).toEqual(["1 lk.chat", "1 Hello"]);
  });

  test("causes one report when it can't be sent, and no failure", async () => {
    const { errors, room, say } = scene({ fails: true });
    await say("Hello");
    room.join("ann");
    await pass(DELAY_MS);
    expect(errors).toEqual([new Error("the room is closed")]);
  });
});
