// The setup of streams and buckets in NATS, and the delete markers of removed keys, which expire.
import { AckPolicy, connect, headers, type NatsConnection } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Bus } from "../../libs/bus/bus.ts";
import { allBuckets, invitations, sessions } from "../../libs/contracts/buckets.ts";
import { allChannels, sessionEvents } from "../../libs/contracts/streams.ts";
import { borrowNats } from "../kit/servers/shared-servers.ts";
import type { TestNats } from "../kit/servers/test-nats.ts";
import { connectTo, eventsOf, eventually, fresh, requested, sessionRecord } from "./buses.ts";

let nats: TestNats;
let connection: NatsConnection;
let bus: Bus;
beforeAll(async () => {
  nats = await borrowNats(1);
  connection = await connect({ servers: nats.url });
  const manager = await connection.jetstreamManager();
  // Streams as an earlier version created them.
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

describe("NATS setup", () => {
  test("enables expiring delete markers on every bucket, even one of an earlier version", async () => {
    for (const { name } of allBuckets) {
      const { config } = await (await streams()).info(`KV_${name}`);
      expect(config, name).toMatchObject({ allow_msg_ttl: true });
    }
  });

  test("enables reads from any replica on the streams that allow them, even on one of an earlier version", async () => {
    for (const { stream, allowDirect: direct = false } of allChannels) {
      const { config } = await (await streams()).info(stream);
      expect(config.allow_direct, stream).toBe(direct);
    }
  });

  test("describes every stream and bucket, even one of an earlier version", async () => {
    const wanted = [
      ...allChannels.map(({ stream, description }) => [stream, description] as const),
      ...allBuckets.map(({ name, description }) => [`KV_${name}`, description] as const),
    ];
    for (const [name, description] of wanted) {
      const { config } = await (await streams()).info(name);
      expect(config.description, name).toMatch(/\w+ \w+.*\.$/);
      expect(config.description, name).toBe(description);
    }
  });

  test("keeps the description that an operator gave to a stream", async () => {
    await (await streams()).update("KV_pools", { description: "ours" });
    await (await connectTo(nats.url, "another")).close();
    expect((await (await streams()).info("KV_pools")).config.description).toBe("ours");
  });

  test("makes room for new invitations when nobody uses the old ones", async () => {
    const name = `KV_${invitations.name}`;
    await (await streams()).update(name, { max_bytes: 64 * 1024 });
    const invite = () =>
      bus.kv.update(
        invitations,
        {
          ...{ v: 1, tenant: "t", room: fresh("r"), user: { id: "u", name: "U" } },
          ...{ metadata: { text: "x".repeat(3000) }, unusedForS: 2 },
        },
        0,
      );
    // At once, because the first ones expire soon.
    const fill = () => Promise.all(Array.from({ length: 40 }, invite));
    await expect(fill()).rejects.toMatchObject({ code: "storage_full" });
    await eventually(() => invite().catch(() => undefined));
    await (await streams()).update(name, { max_bytes: invitations.maxBytes });
  });

  test("raises the limit of values that an earlier version set", async () => {
    await (await streams()).update(`KV_${invitations.name}`, { max_msg_size: 16 * 1024 });
    await (await connectTo(nats.url, "later")).close();
    const { config } = await (await streams()).info(`KV_${invitations.name}`);
    expect(config.max_msg_size).toBe(invitations.maxValueBytes);
  });

  test("describes a consumer of an earlier version, which keeps its position", async () => {
    const { consumers } = await connection.jetstreamManager();
    const [tenant, durable] = [fresh("t"), fresh("d")];
    const channel = eventsOf(tenant);
    const filter_subject = channel.subjects;
    await consumers.add(sessionEvents.stream, {
      ...{ durable_name: durable, ack_policy: AckPolicy.Explicit, max_deliver: -1, filter_subject },
    });
    for (const id of ["a", "b"]) await bus.streams.publish(channel, requested(tenant, id));
    const earlier = await connection.jetstream().consumers.get(sessionEvents.stream, durable);
    await (await earlier.next())?.ackAck();

    const seen: string[] = [];
    const options = { durable, description: "Test: reads.", concurrency: 1 };
    const stop = await bus.streams.consume(channel, options, async ({ sessionId }) => {
      seen.push(sessionId);
      return "ack";
    });
    await eventually(() => seen.length > 0);
    await stop();
    expect(seen).toEqual(["b"]);
    const { config } = await consumers.info(sessionEvents.stream, durable);
    expect(config).toMatchObject({ description: "Test: reads.", max_ack_pending: 10_000 });
  });

  test("leaves a delete marker with a time to live, which watchers see", async () => {
    const id = fresh("s");
    const revision = await bus.kv.update(sessions, sessionRecord("default", id), 0);
    const seen: unknown[] = [];
    const stop = await bus.kv.watch(sessions, ({ key, value }) => {
      if (key === `default.${id}`) seen.push(value?.sessionId);
    });
    expect(await bus.kv.delete(sessions, `default.${id}`, revision! + 1)).toBe(false);
    expect(await bus.kv.delete(sessions, `default.${id}`, revision!)).toBe(true);
    await eventually(() => seen.length === 2);
    expect(seen).toEqual([id, undefined]);
    const marker = await (await streams()).getMessage("KV_sessions", {
      last_by_subj: `$KV.sessions.default.${id}`,
    });
    expect(marker.header.get("KV-Operation")).toBe("PURGE");
    expect(marker.header.get("Nats-TTL")).toBe("120s");
    await stop();
  });

  test("lets the server expire a delete marker, after which the key can be created again", async () => {
    const id = fresh("s");
    const subject = `$KV.sessions.default.${id}`;
    const marker = headers();
    marker.set("KV-Operation", "PURGE");
    marker.set("Nats-TTL", "3s");
    await connection.jetstream().publish(subject, undefined, { headers: marker });
    const countOf = async () =>
      (await (await streams()).info("KV_sessions", { subjects_filter: subject })).state.subjects?.[subject] ??
      0;
    expect(await countOf()).toBe(1);
    await eventually(async () => (await countOf()) === 0, 30_000);
    expect(await bus.kv.update(sessions, sessionRecord("default", id), 0)).toBeGreaterThan(0);
  });

  test("watches and lists a bucket without waiting after its last write, a delete marker, expired", async () => {
    const id = fresh("s");
    await bus.kv.update(sessions, sessionRecord("default", id), 0);
    const gone = fresh("s");
    await bus.kv.update(sessions, sessionRecord("default", gone), 0);
    const marker = headers();
    marker.set("KV-Operation", "PURGE");
    marker.set("Nats-Rollup", "sub");
    marker.set("Nats-TTL", "1s");
    const { seq } = await connection
      .jetstream()
      .publish(`$KV.sessions.default.${gone}`, undefined, { headers: marker });
    const markerIsGone = async () => {
      const found = await (await streams()).getMessage("KV_sessions", { seq }).catch(() => undefined);
      return found === undefined;
    };
    await eventually(markerIsGone, 30_000);
    expect((await (await streams()).info("KV_sessions")).state.last_seq).toBe(seq);

    // A list that waits for the expired marker would fail after 20 s.
    expect((await bus.kv.entries(sessions)).map(({ key }) => key)).toContain(`default.${id}`);
    const seen: string[] = [];
    const stop = await bus.kv.watch(sessions, ({ key }) => seen.push(key));
    expect(seen).toContain(`default.${id}`);
    expect(seen).not.toContain(`default.${gone}`);
    await stop();
  });
});
