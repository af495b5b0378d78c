// Spoils the evidence of a healthy chaos run and tells what its checks find.
import { checkEvidence } from "../chaos/check-evidence.ts";
import type { Draft } from "./chaos-story.ts";
import { healthyRun } from "./healthy-run.ts";

/** What is found when one thing of a healthy run is changed. */
export function foundIn(spoil: (draft: Draft) => void): {
  invariants: number[];
  words: string;
  sessions: unknown[];
} {
  const draft = healthyRun();
  spoil(draft);
  const found = checkEvidence(draft);
  return {
    invariants: [...new Set(found.map(({ invariant }) => invariant))],
    words: found.map(({ what }) => what).join("\n"),
    sessions: [...new Set(found.map(({ sessionId }) => sessionId))],
  };
}

export const writesOf = (draft: Draft, id: string) => draft.written.filter(({ key }) => key === `t.${id}`);
export const lastOf = (draft: Draft, id: string) => writesOf(draft, id).at(-1)!;
export const standing = (draft: Draft, id: string) =>
  draft.remains.records.find((record) => record.id === id)!;
export const saidOf = (draft: Draft, id: string, type: string) =>
  draft.said.find(
    ({ event, forgery }) => event?.sessionId === id && event.type === type && forgery === undefined,
  )!;
export const without = <T>(items: T[], unwanted: (item: T) => boolean): T[] =>
  items.filter((item) => !unwanted(item));
