// The map of personal data: it covers every store, and its filters match nobody else's data.
import { describe, expect, test } from "vitest";
import { allBuckets } from "../../../../libs/contracts/buckets.ts";
import { allChannels } from "../../../../libs/contracts/streams.ts";
import { storeName, storeRules } from "../../../../services/privacy/data-map.ts";
import { isWord, matchesPerson } from "../../../../services/privacy/match-person.ts";

describe("storeRules", () => {
  const ruled = storeRules.map(({ store }) => storeName(store));

  test("covers every stream and bucket once", () => {
    const all = [
      ...new Set([
        ...(allChannels as readonly { stream: string }[]).map(({ stream }) => stream),
        ...(allBuckets as readonly { name: string }[]).map(({ name }) => name),
      ]),
    ];
    expect([...ruled].sort()).toEqual(all.sort());
  });

  test("has a rule for a tenant's data in each store, or the reason why there is none", () => {
    for (const { store, ofTenant, messages, keeps: keepUntilReplaced } of storeRules) {
      const isFound = ofTenant !== undefined || messages?.some(({ isForPartsOnly }) => !isForPartsOnly);
      expect([storeName(store), isFound || keepUntilReplaced !== undefined]).toEqual([
        storeName(store),
        true,
      ]);
    }
  });

  test("has a rule for a person's data in each store, or the reason why there is none", () => {
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
      const hasReason = keepUntilReplaced !== undefined || staysForPerson !== undefined;
      expect([storeName(store), isFound || hasReason]).toEqual([storeName(store), true]);
    }
  });

  test("has filters that match the stores' own subjects and keys", () => {
    for (const { store, ofTenant, ofSession, ofTask } of storeRules) {
      const filters = [
        ofTenant?.("acme") ?? [],
        ofSession?.("acme", "s") ?? [],
        ofTask?.("acme", "k") ?? [],
      ].flat();
      // A `*` in place of the tenant would match other tenants' data.
      for (const filter of filters) expect(filter.split(".")).toContain("acme");
      if ("stream" in store)
        for (const filter of filters) expect(filter.split(".")[0]).toBe(store.subjects.split(".")[0]);
    }
  });
});

describe("matchesPerson", () => {
  const parts = { user: "ann", sessions: new Set(["s_1"]), tasks: new Set(["t_9"]) };

  test("matches a text that belongs to the person, not a longer one that contains it", () => {
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

  test("also matches in a text that is cut off or is not JSON", () => {
    expect(isWord({ parts }, '{"user":"ann","na')).toBe(true);
    expect(isWord({ parts }, "dead.session.t.s_1.ready")).toBe(true);
    expect(isWord({ parts }, "hannah and joanna")).toBe(false);
    const quoted = { ...parts, user: 'a"n' };
    expect(isWord({ parts: quoted }, JSON.stringify({ user: 'a"n' }))).toBe(true);
  });
});
