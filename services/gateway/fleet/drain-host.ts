// POST and DELETE /api/hosts/:id/drain: drains a host before its machine is removed, and cancels the drain.
import { z } from "zod";
import { GreenroomError, isError } from "../../../libs/contracts/errors.ts";
import type { DrainAnswer } from "../../../libs/contracts/fleet/host.ts";
import { DrainRequest, DrainStateAnswer } from "../../../libs/contracts/fleet/http.ts";
import { HostId } from "../../../libs/contracts/ids.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import { drainCommand, undrainCommand } from "../../../libs/contracts/streams.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";

const HostParams = z.strictObject({ id: HostId });

export function drainHostRoutes(app: Routes, gateway: Gateway): void {
  app.post(
    "/api/hosts/:id/drain",
    {
      schema: {
        summary: "Drain a host",
        description:
          "The host accepts no new sessions. Running sessions may continue for `deadlineS`. Then they migrate to other hosts, or with `wait` continue to their end. The host keeps running, empty and draining, until it is stopped or the drain is canceled. GET /api/hosts shows how many sessions are left.",
        tags: ["fleet"],
        params: HostParams,
        body: DrainRequest,
        response: { 202: DrainStateAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ params, body }, reply) => {
      const { deadlineS, onDeadline } = body;
      const options = { deadlineMs: Math.round(deadlineS * 1000), onDeadline };
      const state = await asking(gateway, params.id, () =>
        gateway.bus.core.request(drainCommand, params.id, options),
      );
      const then = onDeadline === "wait" ? "continue to their end" : `migrate after ${deadlineS} s`;
      return reply.code(202).send({
        ...answer(params.id, state),
        message: `Host ${params.id} accepts no new sessions. Running sessions: ${state.sessions}. They ${then}.`,
      });
    },
  );
  app.delete(
    "/api/hosts/:id/drain",
    {
      schema: {
        summary: "Cancel the drain of a host",
        tags: ["fleet"],
        params: HostParams,
        response: { 200: DrainStateAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ params }) => {
      const state = await asking(gateway, params.id, () =>
        gateway.bus.core.request(undrainCommand, params.id, {}),
      );
      return { ...answer(params.id, state), message: `Host ${params.id} accepts sessions again.` };
    },
  );
}

const answer = (host: string, state: DrainAnswer) => ({ success: true as const, host, ...state });

/** @throws GreenroomError not_found, no_responders, timeout */
async function asking(gateway: Gateway, id: string, ask: () => Promise<DrainAnswer>): Promise<DrainAnswer> {
  try {
    return await ask();
  } catch (error) {
    if (!isError(error, "no_responders") || gateway.hosts.get(id) !== undefined) throw error;
    const known = gateway.hosts.all().map((host) => host.hostId);
    throw new GreenroomError(
      "not_found",
      `No host "${id}". ${known.length === 0 ? "No host is running." : `Running hosts: ${known.sort().join(", ")}.`}`,
    );
  }
}
