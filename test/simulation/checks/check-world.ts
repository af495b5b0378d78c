// Invariants of the whole world, checked after its recovery and at the end of the run.

import { conversations, hosts, sessions } from "../../../libs/contracts/buckets.ts";
import type { HostRecord } from "../../../libs/contracts/fleet/host.ts";
import { roomOf, STANDBY_PREFIX } from "../../../libs/contracts/ids.ts";
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

/** Whether the session has ended, or is ready with its agent in a room. */
export function isDecided(world: World, record: SessionRecord): boolean {
  if (record.state === "ended") return true;
  if (record.state !== "ready") return false;
  if (record.provider === "vapi") return isTalking(world, record);
  return world.facts.agentsOf(record).length > 0;
}

const isTalking = (world: World, { tenant, sessionId: id }: SessionRecord): boolean =>
  world.vapi.live().some(({ name, status }) => status === "in-progress" && name === callNameOf(tenant, id));

/** 2: sessions become ready or end within the time limit after the faults; those that wait for capacity have their own limit. */
export function checkDecided(world: World): void {
  for (const record of world.records()) {
    if (isDecided(world, record)) continue;
    const name = `${world.trace.nameOf(record.sessionId)}#${record.attempt}`;
    if (record.state === "ready") world.trace.violation(2, `${name} is ready, but no agent serves it`);
    else world.trace.violation(2, `${name} is still ${record.state}`);
  }
}

/** 6: one of the agents that a provider brought serves the session; the others have left. */
export function checkAlone(world: World): void {
  const now = world.clock.monotonic();
  for (const record of world.records()) {
    if (record.state !== "ready" || !isExternal(record.provider) || record.provider === "vapi") continue;
    for (const { guest, sinceMs } of world.facts.othersThan(record)) {
      if (now - sinceMs < OVERLAP_MS) continue;
      const name = `${world.trace.nameOf(record.sessionId)}#${record.attempt}`;
      world.trace.violation(
        6,
        `${guest.identity} is still in a room for ${name}, which ${record.identity} serves`,
      );
    }
  }
}

/** 1 and 10: every accepted request exists as exactly one session with the same request body. */
export function checkAccepted(world: World, clients: readonly Client[]): void {
  const records = new Map(world.records().map((record) => [record.sessionId, record]));
  for (const client of clients) {
    for (const { sessionId, requestHash } of client.accepted) {
      const record = records.get(sessionId);
      if (record === undefined)
        world.trace.violation(1, `${client.name} was accepted, but its session does not exist`);
      else if (record.requestHash !== requestHash)
        world.trace.violation(10, `${client.name} was accepted, but its session has another request body`);
    }
    if (new Set(client.accepted.map(({ sessionId }) => sessionId)).size > 1)
      world.trace.violation(10, `${client.name} got two sessions for one key`);
  }
}

const isOwnRoom = (room: string): boolean => room.startsWith(STANDBY_PREFIX) || room.startsWith(roomOf(""));

/** The remains that must be gone some time after every session has ended. */
export function leftovers(world: World): string[] {
  const slots = slotsOf(world);
  const ids = new Set(slots.map(({ id }) => id));
  const rooms = world.livekit
    .roomNames()
    .filter((room) => !(room.startsWith(STANDBY_PREFIX) && ids.has(room.slice(STANDBY_PREFIX.length))))
    // LiveKit itself closes a room that a client named, some time after its last participant has left.
    .filter((room) => isOwnRoom(room) || world.livekit.inside(room).length > 0)
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
  const transcripts = world.server
    .entries(conversations)
    .flatMap(({ value }) =>
      ended.has(value.sessionId) ? [`the conversation of ${world.trace.nameOf(value.sessionId)}`] : [],
    );
  return [...rooms, ...busy, ...agents, ...transcripts, ...leftLaunches(world)];
}

/** 9: nothing outlives its session. */
export function checkNothingLeft(world: World): void {
  for (const what of leftovers(world)) world.trace.violation(9, `${what} outlives its session`);
}

/** 13: no message is stuck, and exactly the unreadable messages are dead letters. */
export function checkNothingStuck(world: World): void {
  const backlogs = [
    {
      channel: sessionEvents,
      ...withoutUnknownEnds(world, world.server.backlog(sessionEvents, "dispatcher")),
    },
    { channel: sessionOverflow, ...world.server.backlog(sessionOverflow, "overflow") },
    ...taskBacklogs(world),
  ];
  for (const { channel, pending, unacked } of backlogs) {
    const what = `${pending} messages of ${channel.stream} are pending and ${unacked} unacked`;
    if (pending + unacked > 0) world.trace.violation(13, what);
  }
  const deadLettered = new Set<number>();
  for (const { message } of world.server.stored(deadLetters)) {
    if (message.stream === sessionEvents.stream) deadLettered.add(message.sequence ?? 0);
    if (!/is (not JSON|invalid)/.test(message.reason))
      world.trace.violation(13, `${message.subject} became a dead letter: ${message.reason}`);
  }
  for (const sequence of unreadable(world)) {
    if (!deadLettered.has(sequence))
      world.trace.violation(13, `message ${sequence} is unreadable, but not a dead letter`);
  }
}

/** Leaves out end requests of tasks whose session was never stored; the dispatcher retries them for minutes. */
function withoutUnknownEnds(world: World, backlog: { pending: number; unacked: number }) {
  if (world.scenario.calling === undefined) return backlog;
  const known = new Set(world.records().map(({ sessionId: id }) => id));
  const unknownEnds = readableEvents(world).filter(
    (event) => event.type === "end_requested" && !known.has(event.sessionId),
  );
  return { ...backlog, unacked: Math.max(0, backlog.unacked - unknownEnds.length) };
}

const taskBacklogs = ({ scenario, server }: World) =>
  scenario.calling === undefined
    ? []
    : [
        { channel: taskRequests, ...server.backlog(taskRequests, "tasks") },
        { channel: taskEvents, ...server.backlog(taskEvents, "tasks") },
      ];

/** A deadline may be reported late but never early, whatever the wall clocks show. */
export function checkDeadlines(world: World): void {
  const written = world.server.written(sessions).flatMap(({ value }) => value ?? []);
  for (const { reportedAtMs, event } of world.facts.expirations) {
    const record = written.find(
      ({ sessionId: id, attempt, state }) =>
        id === event.sessionId && attempt === event.attempt && state === event.state,
    );
    if (record === undefined) continue;
    // A phone call reports long before the deadline that nobody answers.
    if (event.kind === "user_absent" && record.call !== undefined) continue;
    const limitMs = limitOf(event.kind, record);
    const lastedMs = reportedAtMs - world.facts.phaseSinceMs(record);
    if (lastedMs < limitMs) {
      const what = `${phaseOf(record)} lasted ${lastedMs.toFixed(0)} of ${limitMs} ms`;
      world.trace.violation(
        14,
        `the deadline of ${world.trace.nameOf(event.sessionId)} was reported as exceeded when ${what}`,
      );
    }
  }
}

/** Sessions that wait although a host reports a free agent for them. */
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
          now > (world.facts.writes.get(record.writeId)?.atMs ?? now) + record.backoffMs
        : record.state === "requested" &&
          registered.some((host) => totalOf(freeAgents(host, record.profile)) > 0),
    )
    .map(({ sessionId: id }) => id);
}

const slotsOf = (world: World) =>
  world.server.entries(hosts).flatMap(({ value }) => value.processes.flatMap(({ slots }) => slots));
