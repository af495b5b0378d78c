// Delays an agent's speech and sounds while the callee's phone rings.
import { voice } from "@livekit/agents";
import { type AudioFrame, AudioSource } from "@livekit/rtc-node";
import type { RunningJob } from "./job.ts";

/** Private parts of a SpeechHandle. */
interface SpeechInside {
  _waitForAuthorization(): Promise<void>;
}

/** More frames would fill the memory if a file does not wait for captureFrame. Nobody would hear them either. */
const MAX_DELAYED_FRAMES = 50;

/**
 * An AgentSession speaks once `_waitForAuthorization` resolves. The patch also waits for the answer there. By then a
 * reply may be generated, but not its speech. No word is lost, and none is added to the history or sent as a caption
 * before it is heard. The greeting begins right after the answer. The same holds for speech from `onEnter` and for every
 * Agent that takes over the session.
 *
 * Sounds that a file plays into a track itself are delayed when they are captured.
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
    if (waiting >= MAX_DELAYED_FRAMES) return;
    held.set(this, waiting + 1);
    try {
      await answer.wait();
    } finally {
      held.set(this, (held.get(this) ?? 1) - 1);
    }
    await captureFrame.call(this, frame);
  };
}
