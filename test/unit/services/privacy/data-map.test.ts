// The table of where people's data are: it has every store, and its filters take nobody else's along.
import { describe, expect, test } from "vitest";
import { allBuckets } from "../../../../libs/contracts/buckets.ts";
import { allChannels } from "../../../../libs/contracts/streams.ts";
import { storeName, storeRules } from "../../../../services/privacy/data-map.ts";
import { isWord, matchesPerson } from "../../../../services/privacy/match-person.ts";

describe("the table of stores", () => {
  const ruled = storeRules.map(({ store }) => storeName(store));

  test("has every stream and bucket once", () => {
    const all = [
      ...new Set([
        ...(allChannels as readonly { stream: string }[]).map(({ stream }) => stream),
        ...(allBuckets as readonly { name: string }[]).map(({ name }) => name),
      ]),
    ];
    expect([...ruled].sort()).toEqual(all.sort());
  });

  test("says of each how a tenant's part is found, or why there is none", () => {
    for (const { store, ofTenant, messages, keeps: keepUntilReplaced } of storeRules) {
      const isFound = ofTenant !== undefined || messages?.some(({ isForPartsOnly }) => !isForPartsOnly);
      expect([storeName(store), isFound || keepUntilReplaced !== undefined]).toEqual([
        storeName(store),
        true,
      ]);
    }
  });

  test("says of each how a person's part is found, or why there is none", () => {
    for (const {
      store,
      ofSession,
      ofTask,
      messages,
      records,
      keeps: keepUntilReplaced,
      keepsForPerson: staysForPerson,
    } of storeRules) {
      const isFound = [ofSession, ofTask, messages, records].some((one) => one !== undefined);
      const isSaid = keepUntilReplaced !== undefined || staysForPerson !== undefined;
      expect([storeName(store), isFound || isSaid]).toEqual([storeName(store), true]);
    }
  });

  test("has filters that cover what the stores' own addresses are", () => {
    for (const { store, ofTenant, ofSession, ofTask } of storeRules) {
      const filters = [
        ofTenant?.("acme") ?? [],
        ofSession?.("acme", "s") ?? [],
        ofTask?.("acme", "k") ?? [],
      ].flat();
      // A `*` instead of the tenant would take other tenants' data along.
      for (const filter of filters) expect(filter.split(".")).toContain("acme");
      if ("stream" in store)
        for (const filter of filters) expect(filter.split(".")[0]).toBe(store.subjects.split(".")[0]);
    }
  });
});

describe("a message names a person", () => {
  const parts = { user: "ann", sessions: new Set(["s_1"]), tasks: new Set(["t_9"]) };

  test("when any text in it is theirs, and not when a longer one holds it", () => {
    expect(matchesPerson({ parts }, { a: [{ b: "ann" }] })).toBe(true);
    expect(matchesPerson({ parts }, { a: "anna", b: "ann-marie", ann: 1 })).toBe(false);
    expect(matchesPerson({ parts }, { session_id: "s_1" })).toBe(true);
    expect(matchesPerson({ parts }, { dispatch_id: "s_1-2", other: null })).toBe(true);
    expect(matchesPerson({ parts }, { room: "session-s_1" })).toBe(true);
    expect(matchesPerson({ parts }, { identity: "agent-s_1-3" })).toBe(true);
    expect(matchesPerson({ parts }, { sessionId: "t_9-1" })).toBe(true);
    expect(matchesPerson({ parts }, { sessionId: "s_12", none: undefined })).toBe(false);
    expect(matchesPerson({}, { anything: 1 })).toBe(true);
  });

  test("also in a text that is cut off or isn't JSON", () => {
    expect(isWord({ parts }, '{"user":"ann","na')).toBe(true);
    expect(isWord({ parts }, "dead.session.t.s_1.ready")).toBe(true);
    expect(isWord({ parts }, "hannah and joanna")).toBe(false);
    const quoted = { ...parts, user: 'a"n' };
    expect(isWord({ parts: quoted }, JSON.stringify({ user: 'a"n' }))).toBe(true);
  });
});
