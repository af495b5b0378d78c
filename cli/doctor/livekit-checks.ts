// Checks of LiveKit: its API with the configured key, a call in a test room, and its webhooks.
import { randomBytes } from "node:crypto";
import { ServerInfo_Edition } from "@livekit/protocol";
import { messageOf } from "../../libs/contracts/errors.ts";
import { roomEvents, serviceHeartbeats } from "../../libs/contracts/streams.ts";
import { HEARTBEAT_MS } from "../../libs/fleet/heartbeat.ts";
import { requireLiveKit } from "../../libs/livekit/connect.ts";
import { joinOnce } from "../../libs/livekit/join-once.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { livekitServer } from "../servers/binary-specs.ts";
import { type CallFacts, callEachOther } from "./call-each-other.ts";
import { check, type Finding, failure, ok, skipped, warning } from "./check.ts";
import type { Sources } from "./sources.ts";

export type LiveKitSeen =
  | { readonly kind: "none" | "simulated" }
  | { readonly kind: "missing"; readonly names: readonly string[] }
  | {
      readonly kind: "asked";
      readonly url: string;
      /** Whether a setting names it. Otherwise it belongs to the last start on this machine. */
      readonly isGiven: boolean;
      /** Whether the address answers at all, and why the API rejected the key, if it did. */
      readonly answers: boolean;
      readonly refusal: string | undefined;
      readonly rooms: number;
      /** Undefined if it could not be learnt. */
      readonly version: string | undefined;
    };

const NAMES = ["LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"] as const;

export const livekitCheck = check({
  name: "livekit",
  title: "LiveKit",
  timeoutMs: 10_000,
  todo: "Check that livekit-server is running and that LIVEKIT_URL points to it.",
  observe: async ({ livekit, isLiveKitGiven: isGiven, config }: Sources, signal): Promise<LiveKitSeen> => {
    if (config.LIVEKIT_MOCK_MODE) return { kind: "simulated" };
    const names = NAMES.filter((name) => config[name] === undefined);
    if (livekit === undefined)
      return names.length < NAMES.length ? { kind: "missing", names } : { kind: "none" };
    const answers = await fetch(livekit.url.replace(/^ws/, "http"), { signal }).then(
      () => true,
      () => false,
    );
    const list = await livekit.rooms.list().then(
      (rooms) => ({ refusal: undefined, rooms: rooms.length }),
      (error: unknown) => ({ refusal: messageOf((error as Error).cause ?? error), rooms: 0 }),
    );
    const version = list.refusal === undefined ? await versionOf(livekit, signal) : undefined;
    return { kind: "asked", url: livekit.url, isGiven, answers, ...list, version };
  },
  judge(seen: LiveKitSeen): Finding[] {
    switch (seen.kind) {
      case "simulated":
        return [skipped("Rooms are simulated (LIVEKIT_MOCK_MODE).")];
      case "none":
        return [skipped("LIVEKIT_URL is not set. npm start runs its own LiveKit.")];
      case "missing":
        return [
          failure(
            `${seen.names.join(" and ")} ${seen.names.length === 1 ? "is" : "are"} not set.`,
            `LiveKit needs all three: ${NAMES.join(", ")}.`,
          ),
        ];
      case "asked":
        return [askedFinding(seen)];
    }
  },
});

/** LiveKit tells its version only to participants. LiveKit Cloud has none, because nobody can update it. */
async function versionOf({ rooms, tokens, url }: LiveKit, signal: AbortSignal): Promise<string | undefined> {
  const room = newRoom();
  try {
    await rooms.create(room, ROOM);
    const token = await tokens.forUser({ room, identity: "doctor", ttlS: 60 });
    const server = await joinOnce(url, token, signal);
    return server?.edition === ServerInfo_Edition.Cloud ? undefined : server?.version || undefined;
  } catch {
    return undefined;
  } finally {
    await rooms.delete(room).catch(() => {});
  }
}

function askedFinding(seen: Extract<LiveKitSeen, { kind: "asked" }>): Finding {
  if (!seen.answers && !seen.isGiven)
    return skipped(
      `The last start on this machine ran its LiveKit at ${seen.url}, and nothing answers there.`,
    );
  if (!seen.answers) {
    return failure(
      `Nothing answers at ${seen.url}.`,
      "Start that LiveKit, or set LIVEKIT_URL to the address of a running one.",
    );
  }
  const { refusal, rooms, url, version } = seen;
  if (refusal === undefined) {
    const problem = version === undefined ? undefined : livekitServer.problemOf(version);
    if (problem !== undefined) return warning(`${problem}.`, `Update the livekit-server at ${url}.`);
    const name = version === undefined ? "LiveKit" : `livekit-server ${version}`;
    return ok(`${name} at ${url} accepts the key. It has ${rooms} ${rooms === 1 ? "room" : "rooms"}.`);
  }
  return failure(
    `LiveKit at ${url} rejects the key: ${refusal}.`,
    "Set LIVEKIT_API_KEY and LIVEKIT_API_SECRET to a pair of that server's `keys`, and check its clock.",
  );
}

const ROOM = { emptyTimeoutS: 30, departureTimeoutS: 5 };
const newRoom = (): string => `doctor-${randomBytes(6).toString("hex")}`;

export const audioCheck = check({
  name: "livekit-audio",
  title: "a call through LiveKit",
  timeoutMs: 45_000,
  needs: ["livekit"],
  todo: "Check that its media ports (rtc.udp_port, rtc.tcp_port) can be reached from here, and that rtc.node_ip is correct.",
  observe: async ({ livekit }: Sources, signal): Promise<CallFacts> => {
    const { rooms, tokens, url } = requireLiveKit(livekit);
    const room = newRoom();
    await rooms.create(room, ROOM);
    try {
      const tokenOf = (identity: string) => tokens.forUser({ room, identity, ttlS: 60 });
      return await callEachOther(
        { url, tokens: [await tokenOf("doctor-1"), await tokenOf("doctor-2")] },
        signal,
      );
    } finally {
      await rooms.delete(room).catch(() => {});
    }
  },
  judge({ joinMs, heardMs, error }: CallFacts): Finding[] {
    if (error !== undefined) {
      return [failure(`The test call failed: ${error}.`, audioCheck.todo)];
    }
    const deaf = heardMs.filter((ms) => ms === undefined).length;
    if (deaf > 0) {
      return [
        failure(
          `Two participants joined, but ${deaf === 2 ? "neither" : "only one"} heard the other's tone.`,
          audioCheck.todo,
        ),
      ];
    }
    const slowest = Math.max(...heardMs.map((ms) => ms ?? 0));
    return [
      ok(
        `Two participants joined in ${Math.round(joinMs)} ms and heard each other's tone after ${Math.round(slowest)} ms.`,
      ),
    ];
  },
});

export interface WebhookFacts {
  readonly gateways: number;
  /** Time from the creation of the room to a gateway's event. */
  readonly heardMs: number | undefined;
}

const EVENT_TIMEOUT_MS = 5000;

export const webhooksCheck = check({
  name: "livekit-webhooks",
  title: "LiveKit's webhooks",
  timeoutMs: 20_000,
  needs: ["livekit", "nats"],
  todo: "Search LiveKit's log for webhooks that could not be sent.",
  observe: async ({ livekit, nats }: Sources): Promise<WebhookFacts> => {
    const inspector = await nats();
    const gateways = new Set<string>();
    const room = newRoom();
    let heardAt: number | undefined;
    const stops = [
      inspector.subscribe(serviceHeartbeats.subject, ({ service, status, instance }) => {
        if (service === "gateway" && status === "running") gateways.add(String(instance));
      }),
      inspector.subscribe(roomEvents.subject, (event) => {
        if (event.room === room) heardAt ??= performance.now();
      }),
    ];
    try {
      await new Promise((resolve) => setTimeout(resolve, HEARTBEAT_MS * 1.5));
      if (gateways.size === 0) return { gateways: 0, heardMs: undefined };
      return {
        gateways: gateways.size,
        heardMs: await timeToEvent(requireLiveKit(livekit), room, () => heardAt),
      };
    } finally {
      for (const stop of stops) stop();
    }
  },
  judge({ gateways, heardMs }: WebhookFacts): Finding[] {
    if (gateways === 0) {
      return [skipped("No gateway is running, so webhooks can't be tested.")];
    }
    if (heardMs !== undefined)
      return [ok(`A gateway received the webhook of a new room within ${Math.round(heardMs)} ms.`)];
    return [
      warning(
        `No gateway received the webhook of a new room within ${EVENT_TIMEOUT_MS / 1000} s. Sessions work, but changes in rooms are detected later.`,
        "Set webhook.urls in LiveKit's configuration to <gateway>/api/livekit/webhook, and webhook.api_key to the configured key.",
      ),
    ];
  },
});

async function timeToEvent(
  { rooms }: LiveKit,
  room: string,
  heardAt: () => number | undefined,
): Promise<number | undefined> {
  const began = performance.now();
  await rooms.create(room, ROOM);
  try {
    while (heardAt() === undefined && performance.now() - began < EVENT_TIMEOUT_MS) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const at = heardAt();
    return at === undefined ? undefined : at - began;
  } finally {
    await rooms.delete(room).catch(() => {});
  }
}
