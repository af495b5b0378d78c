// LiveKit's own agent dispatch: requests an agent by name, and reads the result.
import { JobStatus } from "@livekit/protocol";
import { AgentDispatchClient, RoomServiceClient, TwirpError } from "livekit-server-sdk";
import { GreenroomError, messageOf } from "../contracts/errors.ts";
import { type AskClient, createAskClient } from "./ask-agent.ts";
import type { LiveKit } from "./rooms.ts";

/** A worker's acceptance of a dispatch. */
export interface DispatchJob {
  readonly identity: string;
  /** Open-source servers report `running` only, at the acceptance, and no later change. */
  readonly status: "running" | "succeeded" | "failed";
  readonly error: string;
}

export interface AgentDispatch {
  readonly id: string;
  readonly agentName: string;
  readonly metadata: string;
  /** In ms since 1970 on LiveKit's clock. Compare it with LiveKit's own times only. */
  readonly createdAtMs: number;
  /**
   * Listed up to 5 s later than the agent itself. Servers refresh their list of agents by querying all nodes, which
   * takes that long, once a minute and after each registration of a worker.
   */
  readonly jobs: readonly DispatchJob[];
}

export type Created =
  | { readonly is: "created"; readonly id: string }
  /** LiveKit rejected the request, so no dispatch exists. */
  | { readonly is: "refused"; readonly reason: string };

export interface AgentDispatches {
  /** @throws GreenroomError livekit_unavailable: the dispatch may or may not exist */
  create(room: string, agentName: string, metadata: string): Promise<Created>;
  /** Undefined if the room does not exist. @throws GreenroomError livekit_unavailable */
  list(room: string): Promise<readonly AgentDispatch[] | undefined>;
  /**
   * Asks its agents to leave and removes them after 3 s. Succeeds if missing.
   * @throws GreenroomError livekit_unavailable
   */
  delete(room: string, id: string): Promise<void>;
  readonly askClient: AskClient;
}

/** Rejections that every identical request would repeat. */
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
          return {
            is: "refused",
            reason: `LiveKit rejected the dispatch of ${agentName}: ${messageOf(error)}`,
          };
        throw unavailable(`dispatching ${agentName} to ${room}`, error);
      }
    },
    async list(room) {
      const doing = `listing the dispatches of ${room}`;
      try {
        // For a missing room, a server answers only after 3 s, and with `unavailable`.
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
        throw unavailable(`deleting the dispatch ${id}`, error);
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
  new GreenroomError("livekit_unavailable", `${doing} failed: ${messageOf(error)}`, {
    cause: error,
  });
