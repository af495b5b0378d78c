// Holds back what an agent would say or play while its callee's telephone rings.
import { voice } from "@livekit/agents";
import { type AudioFrame, AudioSource } from "@livekit/rtc-node";
import type { RunningJob } from "./job.ts";

/** What a SpeechHandle keeps for the library itself. */
interface SpeechInside {
  _waitForAuthorization(): Promise<void>;
}

/** A file that doesn't wait for its frames to be taken would fill the memory; nobody would hear them either. */
const FRAMES_HELD_MAX = 50;

/**
 * An AgentSession may speak when its turn has come, by `_waitForAuthorization`; here that also takes an answer. By
 * then a reply may be generated, its speech is not: so no word is lost, none is written into the history or sent as
 * a caption before it is heard, and the greeting begins at once. It holds for speech from `onEnter` and of every
 * Agent that a session is handed to.
 *
 * Sounds that a file plays into a track by itself wait as they are captured.
 */
export function muteUntilAnswered(currentJob: () => RunningJob | undefined): void {
  const speech = voice.SpeechHandle.prototype as unknown as SpeechInside;
  const waitForAuthorization = speech._waitForAuthorization;
  speech._waitForAuthorization = async function waitForAnswer(this: SpeechInside) {
    await waitForAuthorization.call(this);
    await currentJob()?.answer.wait();
  };

  const held = new WeakMap<AudioSource, number>();
  const { captureFrame } = AudioSource.prototype;
  AudioSource.prototype.captureFrame = async function captureWhenAnswered(frame: AudioFrame) {
    const answer = currentJob()?.answer;
    if (answer?.isAwaited !== true) return captureFrame.call(this, frame);
    const waiting = held.get(this) ?? 0;
    if (waiting >= FRAMES_HELD_MAX) return;
    held.set(this, waiting + 1);
    try {
      await answer.wait();
    } finally {
      held.set(this, (held.get(this) ?? 1) - 1);
    }
    await captureFrame.call(this, frame);
  };
}
