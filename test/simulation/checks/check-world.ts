// The invariants of the world as a whole: what must be so once its faults are over, and in the end.

import { conversations, hosts, sessions } from "../../../libs/contracts/buckets.ts";
import type { HostRecord } from "../../../libs/contracts/fleet/host.ts";
import { STANDBY_PREFIX } from "../../../libs/contracts/ids.ts";
import { isExternal } from "../../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import {
  deadLetters,
  sessionEvents,
  sessionOverflow,
  taskEvents,
  taskRequests,
} from "../../../libs/contracts/streams.ts";
import { freeAgents, totalOf } from "../../../libs/domain/capacity.ts";
import { phaseOf } from "../../../services/janitor/find-expired.ts";
import { callNameOf } from "../../../services/providers/drivers/vapi-status.ts";
import { limitOf } from "../../kit/checks/limit-of.ts";
import type { Client } from "../actors/clients.ts";
import type { World } from "../world.ts";
import { leftLaunches } from "./check-launches.ts";
import { readableEvents, unreadable } from "./check-records.ts";
import { OVERLAP_MS } from "./facts.ts";

/** Ended; or ready, and its agent is there, alive and the only one of its attempt. */
export function isDecided(world: World, record: SessionRecord): boolean {
  if (record.state === "ended") return true;
  if (record.state !== "ready") return false;
  if (record.provider === "vapi") return isTalking(world, record);
  return world.facts.agentsOf(record).length > 0;
}

const isTalking = (world: World, { tenant, sessionId: id }: SessionRecord): boolean =>
  world.vapi.live().some(({ name, status }) => status === "in-progress" && name === callNameOf(tenant, id));

/** 2: within the limit after the faults; those that wait for an agent while none is free have their own. */
export function checkDecided(world: World): void {
  for (const record of world.records()) {
    if (isDecided(world, record)) continue;
    const name = `${world.trace.nameOf(record.sessionId)}#${record.attempt}`;
    if (record.state === "ready") world.trace.violation(2, `${name} is ready and no agent serves it`);
    else world.trace.violation(2, `${name} is still ${record.state}`);
  }
}

/** 6: of the agents that a provider brought for a session one serves it, and the others are gone by now. */
export function checkAlone(world: World): void {
  const now = world.clock.monotonic();
  for (const record of world.records()) {
    if (record.state !== "ready" || !isExternal(record.provider) || record.provider === "vapi") continue;
    for (const { guest, sinceMs } of world.facts.othersThan(record)) {
      if (now - sinceMs < OVERLAP_MS) continue;
      const name = `${world.trace.nameOf(record.sessionId)}#${record.attempt}`;
      world.trace.violation(6, `${guest.identity} is in a room for ${name}, which ${record.identity} serves`);
    }
  }
}

/** 1 and 10: whatever was accepted exists, as one session with the words of those who were accepted. */
export function checkAccepted(world: World, clients: readonly Client[]): void {
  const records = new Map(world.records().map((record) => [record.sessionId, record]));
  for (const client of clients) {
    for (const { sessionId, requestHash } of client.accepted) {
      const record = records.get(sessionId);
      if (record === undefined) world.trace.violation(1, `${client.name} was accepted and does not exist`);
      else if (record.requestHash !== requestHash)
        world.trace.violation(10, `${client.name} was accepted with other words than the session has`);
    }
    if (new Set(client.accepted.map(({ sessionId }) => sessionId)).size > 1)
      world.trace.violation(10, `${client.name} was given two sessions for one key`);
  }
}

/** What must be gone when every session has been over for a while. */
export function leftovers(world: World): string[] {
  const slots = slotsOf(world);
  const ids = new Set(slots.map(({ id }) => id));
  const rooms = world.livekit
    .roomNames()
    .filter((room) => !(room.startsWith(STANDBY_PREFIX) && ids.has(room.slice(STANDBY_PREFIX.length))))
    .map((room) => `the room ${room}`);
  const busy = slots.flatMap(({ id, sessionId }) =>
    sessionId === undefined ? [] : [`slot ${id} with ${world.trace.nameOf(sessionId)}`],
  );
  const agents = world.facts
    .allServing()
    .map(({ slot, sessionId }) => `the agent of ${world.trace.nameOf(sessionId)} in ${slot}`);
  const ended = new Set(
    world.records().flatMap(({ sessionId: id, state }) => (state === "ended" ? [id] : [])),
  );
  const said = world.server
    .entries(conversations)
    .flatMap(({ value }) =>
      ended.has(value.sessionId) ? [`what was said in ${world.trace.nameOf(value.sessionId)}`] : [],
    );
  return [...rooms, ...busy, ...agents, ...said, ...leftLaunches(world)];
}

/** 9: nothing outlives its session for long. */
export function checkNothingLeft(world: World): void {
  for (const what of leftovers(world)) world.trace.violation(9, `${what} outlives its session`);
}

/** 13: nothing is stuck, and what nobody could read was given up, with a letter, and nothing else. */
export function checkNothingStuck(world: World): void {
  const backlogs = [
    { channel: sessionEvents, ...withoutVainEnds(world, world.server.backlog(sessionEvents, "dispatcher")) },
    { channel: sessionOverflow, ...world.server.backlog(sessionOverflow, "overflow") },
    ...taskBacklogs(world),
  ];
  for (const { channel, pending, unacked } of backlogs) {
    const what = `${pending} messages of ${channel.stream} are pending and ${unacked} not settled`;
    if (pending + unacked > 0) world.trace.violation(13, what);
  }
  const buried = new Set<number>();
  for (const { message } of world.server.stored(deadLetters)) {
    if (message.stream === sessionEvents.stream) buried.add(message.sequence ?? 0);
    if (!/is not (JSON|of its shape)/.test(message.reason))
      world.trace.violation(13, `${message.subject} went to the dead letters: ${message.reason}`);
  }
  for (const sequence of unreadable(world)) {
    if (!buried.has(sequence))
      world.trace.violation(13, `message ${sequence} can't be read and is not among the dead letters`);
  }
}

/** The end of a task's session whose request was never stored is waited with for minutes. */
function withoutVainEnds(world: World, backlog: { pending: number; unacked: number }) {
  if (world.scenario.calling === undefined) return backlog;
  const known = new Set(world.records().map(({ sessionId: id }) => id));
  const vain = readableEvents(world).filter(
    (event) => event.type === "end_requested" && !known.has(event.sessionId),
  );
  return { ...backlog, unacked: Math.max(0, backlog.unacked - vain.length) };
}

const taskBacklogs = ({ scenario, server }: World) =>
  scenario.calling === undefined
    ? []
    : [
        { channel: taskRequests, ...server.backlog(taskRequests, "tasks") },
        { channel: taskEvents, ...server.backlog(taskEvents, "tasks") },
      ];

/** A limit may be passed on late and never early, whatever the wall clocks say. */
export function checkDeadlines(world: World): void {
  const written = world.server.written(sessions).flatMap(({ value }) => value ?? []);
  for (const { reportedAtMs, event } of world.facts.expirations) {
    const record = written.find(
      ({ sessionId: id, attempt, state }) =>
        id === event.sessionId && attempt === event.attempt && state === event.state,
    );
    if (record === undefined) continue;
    // A telephone tells long before any limit that nobody comes.
    if (event.kind === "user_absent" && record.call !== undefined) continue;
    const limitMs = limitOf(event.kind, record);
    const lastedMs = reportedAtMs - world.facts.phaseSinceMs(record);
    if (lastedMs < limitMs) {
      const what = `${phaseOf(record)} lasted ${lastedMs.toFixed(0)} of ${limitMs} ms`;
      world.trace.violation(14, `overdue was said of ${world.trace.nameOf(event.sessionId)} when ${what}`);
    }
  }
}

/** Sessions that wait although a host says that it has an agent for them. */
export function starving(world: World): string[] {
  const now = world.clock.monotonic();
  const providers = world.processes.filter(({ kind, isUp }) => kind === "providers" && isUp);
  const registered = world.server
    .entries(hosts)
    .flatMap(({ key, value }) =>
      world.hostUpdates.get(key)?.epoch === value.epoch ? [world.hostUpdates.get(key) as HostRecord] : [],
    );
  return world
    .records()
    .filter((record) =>
      record.state === "requested" && isExternal(record.provider)
        ? providers.length > 0 &&
          now > (world.facts.savings.get(record.writeId)?.atMs ?? now) + record.backoffMs
        : record.state === "requested" &&
          registered.some((host) => totalOf(freeAgents(host, record.profile)) > 0),
    )
    .map(({ sessionId: id }) => id);
}

const slotsOf = (world: World) =>
  world.server.entries(hosts).flatMap(({ value }) => value.processes.flatMap(({ slots }) => slots));
