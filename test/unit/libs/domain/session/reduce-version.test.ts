// The version of a session's agent: reported when it joins, and kept for each attempt in the history.
import { expect, test } from "vitest";
import type { SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import { reduceSession } from "../../../../../libs/domain/session/reduce.ts";
import {
  chosen,
  dispatched,
  endRequested,
  fromHost,
  inRoom,
  joined,
  lost,
} from "../../../../kit/fixtures/session-moves.ts";

test("has the version of the agent that joined, in the history too, until the next attempt", () => {
  const versioned = (record: SessionRecord, type: "joined" | "ready", version: string) =>
    reduceSession(record, fromHost(record, { ...inRoom(record), type, version }));
  const first = versioned(versioned(dispatched(), "joined", "v1"), "ready", "v1");
  expect(first.version).toBe("v1");
  const again = lost(first);
  expect(again.version).toBeUndefined();
  const second = versioned(chosen(again), "ready", "v2");
  expect(second.version).toBe("v2");
  expect(second.history.map(({ state, version }) => [state, version])).toEqual([
    ["requested", undefined],
    ["dispatched", undefined],
    ["joined", "v1"],
    ["ready", "v1"],
    ["requested", undefined],
    ["dispatched", undefined],
    ["ready", "v2"],
  ]);
  expect(endRequested(second).history.at(-1)).toMatchObject({ state: "ended", version: "v2" });
});

test("has no version while its agent reports none", () => {
  expect(JSON.parse(JSON.stringify(joined(dispatched())))).not.toHaveProperty("version");
});
