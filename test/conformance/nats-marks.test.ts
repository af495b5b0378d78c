// How streams and buckets are set up in NATS, and what is left there of a removed key: a mark that goes by itself.
import { connect, headers, type NatsConnection } from "nats";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Bus } from "../../libs/bus/bus.ts";
import { allBuckets, sessions } from "../../libs/contracts/buckets.ts";
import { allChannels } from "../../libs/contracts/streams.ts";
import { borrowNats } from "../kit/servers/shared-servers.ts";
import type { TestNats } from "../kit/servers/test-nats.ts";
import { connectTo, eventually, fresh, sessionRecord } from "./buses.ts";

let nats: TestNats;
let connection: NatsConnection;
let bus: Bus;
beforeAll(async () => {
  nats = await borrowNats(1);
  connection = await connect({ servers: nats.url });
  const manager = await connection.jetstreamManager();
  // As an earlier version made it.
  await manager.streams.add({ name: "KV_sessions", subjects: ["$KV.sessions.>"], allow_rollup_hdrs: true });
  await manager.streams.add({ name: "CALLS", subjects: ["call.*.*.*"], allow_direct: false });
  bus = await connectTo(nats.url, "tester");
});
afterAll(async () => {
  await bus?.close();
  await connection?.close();
  await nats?.stop();
});

const streams = async () => (await connection.jetstreamManager()).streams;

test("every bucket lets marks go, also one that an earlier version made", async () => {
  for (const { name } of allBuckets) {
    const { config } = await (await streams()).info(`KV_${name}`);
    expect(config, name).toMatchObject({ allow_msg_ttl: true });
  }
});

test("every stream whose channel says so is read from any replica, also one that an earlier version made", async () => {
  for (const { stream, allowDirect: direct = false } of allChannels) {
    const { config } = await (await streams()).info(stream);
    expect(config.allow_direct, stream).toBe(direct);
  }
});

test("the mark of a removed key has a time to live, and everybody sees it", async () => {
  const id = fresh("s");
  const revision = await bus.save(sessions, sessionRecord("default", id), 0);
  const seen: unknown[] = [];
  const stop = await bus.watch(sessions, ({ key, value }) => {
    if (key === `default.${id}`) seen.push(value?.sessionId);
  });
  expect(await bus.remove(sessions, `default.${id}`, revision! + 1)).toBe(false);
  expect(await bus.remove(sessions, `default.${id}`, revision!)).toBe(true);
  await eventually(() => seen.length === 2);
  expect(seen).toEqual([id, undefined]);
  const mark = await (await streams()).getMessage("KV_sessions", {
    last_by_subj: `$KV.sessions.default.${id}`,
  });
  expect(mark.header.get("KV-Operation")).toBe("PURGE");
  expect(mark.header.get("Nats-TTL")).toBe("120s");
  await stop();
});

test("the server really removes what has a time to live, and the key can be made anew", async () => {
  const id = fresh("s");
  const subject = `$KV.sessions.default.${id}`;
  const mark = headers();
  mark.set("KV-Operation", "PURGE");
  mark.set("Nats-TTL", "1s");
  await connection.jetstream().publish(subject, undefined, { headers: mark });
  const countOf = async () =>
    (await (await streams()).info("KV_sessions", { subjects_filter: subject })).state.subjects?.[subject] ??
    0;
  expect(await countOf()).toBe(1);
  await eventually(async () => (await countOf()) === 0, 30_000);
  expect(await bus.save(sessions, sessionRecord("default", id), 0)).toBeGreaterThan(0);
});

test("a bucket whose last write was a mark that is gone is watched and listed without waiting", async () => {
  const id = fresh("s");
  await bus.save(sessions, sessionRecord("default", id), 0);
  const gone = fresh("s");
  await bus.save(sessions, sessionRecord("default", gone), 0);
  const mark = headers();
  mark.set("KV-Operation", "PURGE");
  mark.set("Nats-Rollup", "sub");
  mark.set("Nats-TTL", "1s");
  const { seq } = await connection
    .jetstream()
    .publish(`$KV.sessions.default.${gone}`, undefined, { headers: mark });
  const markIsGone = async () => {
    const found = await (await streams()).getMessage("KV_sessions", { seq }).catch(() => undefined);
    return found === undefined;
  };
  await eventually(markIsGone, 30_000);
  expect((await (await streams()).info("KV_sessions")).state.last_seq).toBe(seq);

  // A list that waits for what never comes fails after 20 s.
  expect((await bus.list(sessions)).map(({ key }) => key)).toContain(`default.${id}`);
  const seen: string[] = [];
  const stop = await bus.watch(sessions, ({ key }) => seen.push(key));
  expect(seen).toContain(`default.${id}`);
  expect(seen).not.toContain(`default.${gone}`);
  await stop();
});
