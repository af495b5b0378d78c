// `npm run bench:store`: measures pages, lists and purges with a million stored calls, on a real nats-server.
import { parseArgs } from "node:util";
import { connect, type JetStreamClient } from "nats";
import { connectNatsBus } from "../../libs/bus/nats/nats-bus.ts";
import { sessions } from "../../libs/contracts/buckets.ts";
import { callSubject } from "../../libs/contracts/calls/call.ts";
import { calls } from "../../libs/contracts/streams.ts";
import { silentLog } from "../../libs/runtime/log.ts";
import { aCall } from "../kit/fixtures/calls.ts";
import { aSession } from "../kit/fixtures/sessions.ts";
import { messagesOn } from "../kit/read-messages.ts";
import { startNats } from "../kit/servers/servers.ts";
import { ms, quantile, table } from "./statistics.ts";

const { values } = parseArgs({
  options: {
    calls: { type: "string", default: "1000000" },
    tenants: { type: "string", default: "20" },
    days: { type: "string", default: "30" },
    keys: { type: "string", default: "100000" },
    looks: { type: "string", default: "200" },
  },
});
const [CALLS, TENANTS, DAYS] = [Number(values.calls), Number(values.tenants), Number(values.days)];
const [KEYS, LOOKS] = [Number(values.keys), Number(values.looks)];
const PAGE = 50;
/** The number of messages in flight. */
const BATCH = 2000;

const tenantOf = (n: number): string => `tenant${n % TENANTS}`;
/** Days follow each other in the stream; the tenants of a day are mixed. */
const dayOfCall = (n: number): number => Math.floor((n / CALLS) * DAYS);
const isoDay = (day: number): string => new Date(Date.UTC(2026, 0, 1 + day)).toISOString().slice(0, 10);
const pickDay = (): string => isoDay(Math.floor(Math.random() * DAYS)).replaceAll("-", "");
const pickTenant = (): string => tenantOf(Math.floor(Math.random() * TENANTS));

const nats = await startNats();
try {
  const options = { url: nats.url, name: "bench", replicas: 1, log: silentLog, onLost: () => {} };
  let bus = await connectNatsBus(options);
  await fill();
  const rows = [["operation", "p50 ms", "p95 ms", "p99 ms", "max ms"]];
  await nats.restart();
  await bus.close();
  bus = await connectNatsBus(options);
  const daysPage = (after = 0) => {
    const subject = `call.${pickTenant()}.${pickDay()}.*`;
    return bus.streams.read(calls, { subject, from: after + 1, limit: PAGE });
  };
  rows.push(
    await measure(`first page of ${PAGE} of a tenant's day, right after the server's start`, 20, () =>
      daysPage(),
    ),
  );
  rows.push(await measure(`first page of ${PAGE} of a tenant's day`, LOOKS, () => daysPage()));
  rows.push(await measure("all pages of a tenant's day", Math.ceil(LOOKS / 10), readDay));
  rows.push(
    await measure("first page of all days of a tenant", LOOKS, () => firstPage(`call.${pickTenant()}.>`)),
  );
  rows.push(
    await measure("a page of a day without calls", LOOKS, () => firstPage(`call.${pickTenant()}.20250101.*`)),
  );
  const { subject, after } = await lastOfADay();
  const pageAfter = () => bus.streams.read(calls, { subject, from: after + 1, limit: PAGE });
  rows.push(await measure("a page after the last call of an old day", 20, pageAfter));
  rows.push(
    await measure("one call", LOOKS, () =>
      messagesOn(bus, calls, callSubject("tenant1", "20260101", "s1"), 1),
    ),
  );
  const { allowDirect: _direct, ...led } = calls;
  rows.push(
    await measure(`first page of ${PAGE} of a tenant's day, from the leader, message by message`, 20, () =>
      bus.streams.read(led, { subject: `call.${pickTenant()}.${pickDay()}.*`, limit: PAGE }),
    ),
  );
  const list = () => bus.kv.entries(sessions, `${pickTenant()}.*`);
  rows.push(await measure(`list of ${KEYS / TENANTS} keys of ${KEYS}`, 20, list));
  rows.push(await measure("list of one of these keys", LOOKS, () => bus.kv.entries(sessions, "tenant1.s1")));
  let day = 0;
  rows.push(
    await measure("purge of a tenant's day", Math.min(DAYS, 10), () =>
      purge(`call.tenant1.${isoDay(day++).replaceAll("-", "")}.*`),
    ),
  );
  rows.push(await measure("purge of a tenant", 1, () => purge("call.tenant2.>")));
  rows.push(
    await measure(`purge of ${KEYS / TENANTS} keys`, 1, () => bus.admin.purge(sessions, "tenant2.*")),
  );
  console.log(table(rows));
  await bus.close();

  async function firstPage(subject: string): Promise<unknown> {
    return bus.streams.read(calls, { subject, limit: PAGE });
  }

  async function readDay(): Promise<void> {
    const subject = `call.${pickTenant()}.${pickDay()}.*`;
    for (let after = 0; ; ) {
      const page = await bus.streams.read(calls, { subject, from: after + 1, limit: PAGE });
      if (page.length < PAGE) return;
      after = page.at(-1)?.sequence ?? after;
    }
  }

  async function lastOfADay(): Promise<{ subject: string; after: number }> {
    const subject = `call.${pickTenant()}.20260102.*`;
    const day = await bus.streams.read(calls, { subject, limit: CALLS });
    return { subject, after: day.at(-1)?.sequence ?? 0 };
  }

  async function purge(filter: string): Promise<void> {
    const count = await bus.admin.purge(calls, filter);
    if (count === 0) throw new Error(`${filter}: nothing to purge`);
  }
} finally {
  await nats.stop();
}

async function fill(): Promise<void> {
  const connection = await connect({ servers: nats.url });
  const js = connection.jetstream({ timeout: 60_000 });
  const startedAt = performance.now();
  const template = JSON.stringify(
    aCall({
      id: "the-session",
      tenant: "the-tenant",
      startedAtMs: Date.UTC(2026, 0, 1, 12),
      startMs: 40,
      talkMs: 120_000,
    }),
  );
  const atDay = template.match(/"endedAt":"(\d{4}-\d\d-\d\d)/)?.[1] ?? "";
  await inBatches(js, CALLS, (n) => {
    const [tenant, day] = [tenantOf(n), isoDay(dayOfCall(n))];
    const data = template
      .replaceAll("the-session", `s${n}`)
      .replaceAll("the-tenant", tenant)
      .replaceAll(atDay, day);
    return [callSubject(tenant, day.replaceAll("-", ""), `s${n}`), data];
  });
  const record = JSON.stringify(aSession("the-session", { tenant: "the-tenant" }));
  await inBatches(js, KEYS, (n) => {
    const tenant = tenantOf(n);
    const data = record.replaceAll("the-session", `s${n}`).replaceAll("the-tenant", tenant);
    return [`$KV.sessions.${tenant}.s${n}`, data];
  });
  const { state } = await (await connection.jetstreamManager()).streams.info("CALLS");
  await connection.close();
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  const mib = (state.bytes / 2 ** 20).toFixed(0);
  console.log(
    `${state.messages} calls (${mib} MiB, ${TENANTS} tenants, ${DAYS} days), ${KEYS} keys: ${seconds} s`,
  );
}

async function inBatches(
  js: JetStreamClient,
  count: number,
  messageOf: (n: number) => [subject: string, data: string],
): Promise<void> {
  for (let at = 0; at < count; at += BATCH) {
    const size = Math.min(BATCH, count - at);
    await Promise.all(Array.from({ length: size }, (_, index) => js.publish(...messageOf(at + index))));
  }
}

/** Measures an operation several times in sequence. */
async function measure(what: string, count: number, work: () => Promise<unknown>): Promise<string[]> {
  const times: number[] = [];
  for (let n = 0; n < count; n++) {
    const startedAt = performance.now();
    await work();
    times.push(performance.now() - startedAt);
  }
  return [what, ...[0.5, 0.95, 0.99, 1].map((q) => ms(quantile(times, q)))];
}
