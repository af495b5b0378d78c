// A stand-in for LiveKit SIP: a proxy in front of a real livekit-server, whose calls ring a simulated telephone.
import { randomBytes } from "node:crypto";
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import {
  AudioFrame,
  AudioSource,
  LocalAudioTrack,
  Room,
  RoomEvent,
  TrackPublishOptions,
  TrackSource,
} from "@livekit/rtc-node";
import { AccessToken, TokenVerifier } from "livekit-server-sdk";
import { startNativeWithoutLogCapture } from "../../../services/agent-host/agent-process/native.ts";
import type { TestLiveKit } from "../servers/servers.ts";
import { heardIn, type Sound } from "../stack/listener.ts";

/** How a called telephone behaves. */
interface Behaviour {
  /** Infinity: until the callee picks up. */
  readonly ringMs: number;
  /** Undefined means that the call is answered. */
  readonly refuses?: { readonly code: number; readonly reason: string };
}

/** A called telephone. Times are performance.now() of this process, in ms. */
export interface Telephone {
  readonly to: string;
  readonly from: string;
  readonly room: string;
  readonly identity: string;
  readonly trunk: string;
  readonly ringS: number;
  /** The sounds that the callee hears in the room, from the start of the dialing. */
  readonly sounds: readonly Sound[];
  readonly rangAtMs: number | undefined;
  readonly answeredAtMs: number | undefined;
  /** The participants that the callee found in the room; undefined until the callee has joined. */
  readonly found: readonly string[] | undefined;
  /** True once the callee has left the room. */
  isOver(): boolean;
  /** Answers a call that rings until then. */
  pickUp(): void;
  hangUp(): Promise<void>;
}

export interface SipStandIn {
  /** The LIVEKIT_URL of a service that makes calls. */
  readonly url: string;
  readonly telephones: readonly Telephone[];
  /** Sets how the telephone of a number behaves. */
  behave(number: string, behaviour: Behaviour): void;
  close(): Promise<void>;
}

export const TRUNK = "ST_standin";
const PATH = "/twirp/livekit.SIP/CreateSIPParticipant";
/** The time between the INVITE and the carrier's 180. */
const SETUP_MS = 150;

export async function startSipStandIn(livekit: TestLiveKit): Promise<SipStandIn> {
  startNativeWithoutLogCapture();
  const standIn = new StandIn(livekit);
  await standIn.listen();
  return standIn;
}

class StandIn implements SipStandIn {
  readonly telephones: RingingTelephone[] = [];
  readonly #livekit: TestLiveKit;
  readonly #behaviours = new Map<string, Behaviour>();
  readonly #server = createServer((request, response) => {
    const handled = request.url === PATH ? this.#create(request, response) : this.#forward(request, response);
    handled.catch((error: unknown) => {
      if (!response.headersSent) refuse(response, 500, "internal", String(error));
      else response.destroy();
    });
  });

  constructor(livekit: TestLiveKit) {
    this.#livekit = livekit;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  behave(number: string, behaviour: Behaviour): void {
    this.#behaviours.set(number, behaviour);
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  async close(): Promise<void> {
    await Promise.all(this.telephones.map((telephone) => telephone.hangUp()));
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Answers like livekit-server with `wait_until_answered`: when the call is answered, or can't be any more. */
  async #create(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = JSON.parse(await textOf(request)) as Record<string, string | boolean>;
    const grants = await this.#grantsOf(request.headers.authorization);
    if (grants?.sip?.call !== true) return refuse(response, 401, "unauthenticated", "permissions denied");
    if (body.sipTrunkId !== TRUNK)
      return refuse(response, 404, "not_found", "requested sip trunk does not exist");
    const telephone = new RingingTelephone(body, await this.#tokenFor(body));
    this.telephones.push(telephone);
    await telephone.join(this.#livekit.url);
    const behaviour = this.#behaviours.get(telephone.to) ?? { ringMs: 200 };
    const end = await telephone.ring(behaviour);
    // The requester may be gone by now. LiveKit SIP continues all the same.
    if (end === "answered")
      return answer(response, 200, {
        participant_id: telephone.sid,
        participant_identity: telephone.identity,
        room_name: telephone.room,
        sip_call_id: telephone.callId,
      });
    if (end === "rang out") return refuse(response, 408, "canceled", "sip request timed out");
    const { code, reason } = end;
    refuse(
      response,
      HTTP_STATUS[code]?.[1] ?? 400,
      HTTP_STATUS[code]?.[0] ?? "invalid_argument",
      `INVITE failed: sip status: ${code}: ${reason}`,
      {
        sip_status_code: String(code),
        sip_status: reason,
      },
    );
  }

  async #grantsOf(authorization: string | undefined) {
    const { apiKey, apiSecret } = this.#livekit;
    const token = authorization?.replace(/^Bearer /, "") ?? "";
    return await new TokenVerifier(apiKey, apiSecret).verify(token).catch(() => undefined);
  }

  #tokenFor(body: Record<string, string | boolean>): Promise<string> {
    const { apiKey, apiSecret } = this.#livekit;
    const token = new AccessToken(apiKey, apiSecret, {
      identity: String(body.participantIdentity),
      name: String(body.participantName ?? ""),
      attributes: {
        "sip.callID": `SCL_${randomBytes(6).toString("hex")}`,
        "sip.callStatus": "dialing",
        "sip.phoneNumber": String(body.sipCallTo),
        "sip.trunkID": String(body.sipTrunkId),
      },
      ttl: 60,
    });
    token.kind = "sip";
    token.addGrant({
      room: String(body.roomName),
      roomJoin: true,
      canPublish: true,
      canSubscribe: true,
      canUpdateOwnMetadata: true,
    });
    return token.toJwt();
  }

  async #forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = new URL(request.url ?? "/", this.#livekit.url.replace(/^ws/, "http"));
    const { headers, method } = request;
    const onward = httpRequest(target, { method, headers: { ...headers, host: target.host } }, (answered) => {
      response.writeHead(answered.statusCode ?? 502, answered.headers);
      answered.pipe(response);
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  }
}

/** The Twirp code and HTTP status of SIP responses, from LiveKit's own table. */
const HTTP_STATUS: Record<number, readonly [code: string, http: number]> = {
  404: ["not_found", 404],
  408: ["deadline_exceeded", 408],
  480: ["resource_exhausted", 429],
  486: ["resource_exhausted", 429],
  603: ["permission_denied", 403],
};

class RingingTelephone implements Telephone {
  readonly to: string;
  readonly from: string;
  readonly room: string;
  readonly identity: string;
  readonly trunk: string;
  readonly ringS: number;
  readonly sounds: Sound[] = [];
  rangAtMs: number | undefined;
  answeredAtMs: number | undefined;
  found: readonly string[] | undefined;
  readonly #token: string;
  readonly #room = new Room();
  #isOver = false;
  #isPickedUp = false;

  constructor(body: Record<string, string | boolean>, token: string) {
    this.to = String(body.sipCallTo);
    this.from = String(body.sipNumber ?? "");
    this.room = String(body.roomName);
    this.identity = String(body.participantIdentity);
    this.trunk = String(body.sipTrunkId);
    this.ringS = Number.parseFloat(String(body.ringingTimeout ?? "30"));
    this.#token = token;
  }

  get sid(): string {
    return this.#room.localParticipant?.sid ?? "";
  }

  get callId(): string {
    return this.#room.localParticipant?.attributes["sip.callID"] ?? "";
  }

  isOver = (): boolean => this.#isOver;

  pickUp = (): void => {
    this.#isPickedUp = true;
  };

  /** Joins and listens at once, so that a test hears what an answered telephone would. */
  async join(url: string): Promise<void> {
    this.#room.on(RoomEvent.TrackSubscribed, (track, _publication, participant) => {
      heardIn(track, participant.identity, this.sounds);
    });
    this.#room.on(RoomEvent.Disconnected, () => {
      this.#isOver = true;
    });
    await this.#room.connect(url, this.#token, { autoSubscribe: true, dynacast: false });
    this.found = [...this.#room.remoteParticipants.keys()];
    await this.#publishSilence();
  }

  async ring({
    ringMs,
    refuses,
  }: Behaviour): Promise<"answered" | "rang out" | NonNullable<Behaviour["refuses"]>> {
    await sleep(SETUP_MS);
    await this.#status("ringing");
    this.rangAtMs = performance.now();
    const until = this.rangAtMs + Math.min(ringMs, this.ringS * 1000);
    while (performance.now() < until && !this.#isOver && !this.#isPickedUp) await sleep(20);
    // When the ringing participant is removed, LiveKit SIP cancels the call like a timeout.
    if (this.#isOver) return "rang out";
    const rangOut = ringMs > this.ringS * 1000 && !this.#isPickedUp;
    if (rangOut || refuses !== undefined) {
      await this.hangUp();
      return refuses ?? "rang out";
    }
    this.answeredAtMs = performance.now();
    await this.#status("active");
    return "answered";
  }

  async hangUp(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    await this.#room.disconnect();
  }

  async #status(status: string): Promise<void> {
    const local = this.#room.localParticipant;
    if (this.#isOver || local === undefined) return;
    await local.setAttributes({ ...local.attributes, "sip.callStatus": status }).catch(() => {});
  }

  /** LiveKit SIP publishes its track when the dialing starts, for the dial tone. */
  async #publishSilence(): Promise<void> {
    const source = new AudioSource(48_000, 1, 200);
    const track = LocalAudioTrack.createAudioTrack("phone", source);
    const options = new TrackPublishOptions({ source: TrackSource.SOURCE_MICROPHONE });
    await this.#room.localParticipant?.publishTrack(track, options);
    const frame = new AudioFrame(new Int16Array(960), 48_000, 1, 960);
    const play = async () => {
      while (!this.#isOver) await source.captureFrame(frame);
    };
    play().catch(() => {});
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
}

const refuse = (
  response: ServerResponse,
  status: number,
  code: string,
  msg: string,
  meta?: Record<string, string>,
) => answer(response, status, { code, msg, ...(meta === undefined ? {} : { meta }) });

function answer(response: ServerResponse, status: number, body: unknown): void {
  if (response.destroyed) return;
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}
