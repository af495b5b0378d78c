// LiveKit's own agent dispatch: asks for an agent by its name, and sees what became of that.
import { JobStatus } from "@livekit/protocol";
import { AgentDispatchClient, RoomServiceClient, TwirpError } from "livekit-server-sdk";
import { GreenroomError, messageOf } from "../contracts/errors.ts";
import { type AskClient, createAskClient } from "./ask-agent.ts";
import type { LiveKit } from "./rooms.ts";

/** A worker's acceptance of a dispatch. */
export interface DispatchJob {
  readonly identity: string;
  /** OSS servers tell of `running` only, at the acceptance, and of no change after it. */
  readonly status: "running" | "succeeded" | "failed";
  readonly error: string;
}

export interface AgentDispatch {
  readonly id: string;
  readonly agentName: string;
  readonly metadata: string;
  /** ms since 1970 on LiveKit's clock; to be compared with its own times only. */
  readonly createdAtMs: number;
  /**
   * Appear up to 5 s after the agent itself: for so long a server asks its nodes which agents they have, once a
   * minute and after each registration of a worker.
   */
  readonly jobs: readonly DispatchJob[];
}

export type Created =
  | { readonly is: "created"; readonly id: string }
  /** LiveKit said no, so there is none. */
  | { readonly is: "refused"; readonly reason: string };

export interface AgentDispatches {
  /** @throws GreenroomError livekit_unavailable: it may have been made or not */
  create(room: string, agentName: string, metadata: string): Promise<Created>;
  /** Undefined: there is no such room, and so no dispatch. @throws GreenroomError livekit_unavailable */
  list(room: string): Promise<readonly AgentDispatch[] | undefined>;
  /** Its agents are told to go, and put out after 3 s; none is fine. @throws GreenroomError livekit_unavailable */
  delete(room: string, id: string): Promise<void>;
  readonly askClient: AskClient;
}

/** LiveKit's refusals that nothing but another request would change. */
const REFUSALS = ["invalid_argument", "malformed", "permission_denied", "unauthenticated", "unimplemented"];

export function connectAgentDispatches({ url, apiKey, apiSecret }: LiveKit): AgentDispatches {
  const api = url.replace(/^ws/, "http");
  const client = new AgentDispatchClient(api, apiKey, apiSecret, { requestTimeout: 5 });
  const rooms = new RoomServiceClient(api, apiKey, apiSecret, { requestTimeout: 5 });
  return {
    async create(room, agentName, metadata) {
      try {
        const { id } = await client.createDispatch(room, agentName, { metadata });
        return { is: "created", id };
      } catch (error) {
        if (error instanceof TwirpError && REFUSALS.includes(error.code ?? ""))
          return { is: "refused", reason: `LiveKit refused to dispatch ${agentName}: ${messageOf(error)}` };
        throw unavailable(`dispatching ${agentName} to ${room}`, error);
      }
    },
    async list(room) {
      const doing = `listing the dispatches of ${room}`;
      try {
        // Of a room that isn't there a server knows nothing only after 3 s, and says then that it is unavailable.
        if ((await rooms.listRooms([room])).length === 0) return undefined;
        return (await client.listDispatch(room)).map((dispatch) => ({
          id: dispatch.id,
          agentName: dispatch.agentName,
          metadata: dispatch.metadata,
          createdAtMs: Number((dispatch.state?.createdAt ?? 0n) / 1_000_000n),
          jobs: (dispatch.state?.jobs ?? []).map(({ state }) => ({
            identity: state?.participantIdentity ?? "",
            status: statusOf(state?.status),
            error: state?.error ?? "",
          })),
        }));
      } catch (error) {
        throw unavailable(doing, error);
      }
    },
    async delete(room, id) {
      try {
        await client.deleteDispatch(id, room);
      } catch (error) {
        if (error instanceof TwirpError && error.code === "not_found") return;
        throw unavailable(`taking the dispatch ${id} back`, error);
      }
    },
    askClient: createAskClient({ api, apiKey, apiSecret }),
  };
}

function statusOf(status: JobStatus | undefined): DispatchJob["status"] {
  if (status === JobStatus.JS_SUCCESS) return "succeeded";
  return status === JobStatus.JS_FAILED ? "failed" : "running";
}

const unavailable = (doing: string, error: unknown): GreenroomError =>
  new GreenroomError("livekit_unavailable", `${doing}: LiveKit said "${messageOf(error)}".`, {
    cause: error,
  });
