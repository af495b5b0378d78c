// DELETE /api/tenants/:tenant/data, …/users/:userId/data and GET /api/deletion-jobs: deletion of personal data.
import { createHash } from "node:crypto";
import { deletionJobs } from "../../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { type DeletionJob, deletionJobKey, isOver } from "../../../libs/contracts/privacy/deletion.ts";
import {
  DeletionAnswer,
  DeletionJobAnswer,
  DeletionJobParams,
  DeletionJobsAnswer,
  DeletionJobsQuery,
  DeletionQuery,
  TenantParams,
  TenantUserParams,
} from "../../../libs/contracts/privacy/http.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import { isoNow } from "../../../libs/runtime/clock.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";
import { randomToken } from "../sessions/session-ids.ts";

const errors = { "4xx": ErrorAnswer, "5xx": ErrorAnswer };
const tags = ["privacy"];

export function deleteDataRoutes(app: Routes, gateway: Gateway): void {
  app.delete(
    "/api/tenants/:tenant/data",
    {
      schema: {
        summary: "Delete the data of a tenant",
        description:
          "Ends running sessions, cancels tasks, and then deletes everything. First stop what starts new sessions: they are deleted too, and the job continues until nothing is left. The privacy service runs the job, which shows its progress and ends with a signed receipt.",
        tags,
        params: TenantParams,
        querystring: DeletionQuery,
        response: { 202: DeletionAnswer, ...errors },
      },
    },
    async ({ params, query }, reply) => {
      requireOwn(gateway, params.tenant);
      const job = await requestDeletion(gateway, { kind: "tenant", askedBy: requesterOf(query.askedBy) });
      return reply
        .code(202)
        .send({ success: true as const, job: toPublicJob(job), message: messageFor(job) });
    },
  );
  app.delete(
    "/api/tenants/:tenant/users/:userId/data",
    {
      schema: {
        summary: "Delete the data of a user",
        description:
          "Deletes all sessions in which the user talked or was called, and the tasks that call the user. Figures of minutes and days remain. They contain no personal data.",
        tags,
        params: TenantUserParams,
        querystring: DeletionQuery,
        response: { 202: DeletionAnswer, ...errors },
      },
    },
    async ({ params, query }, reply) => {
      requireOwn(gateway, params.tenant);
      const user = params.userId;
      const job = await requestDeletion(gateway, { kind: "user", user, askedBy: requesterOf(query.askedBy) });
      return reply
        .code(202)
        .send({ success: true as const, job: toPublicJob(job), message: messageFor(job) });
    },
  );
  jobRoutes(app, gateway);
}

function jobRoutes(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/deletion-jobs",
    {
      schema: {
        summary: "List deletion jobs, newest first",
        tags,
        querystring: DeletionJobsQuery,
        response: { 200: DeletionJobsAnswer, ...errors },
      },
    },
    async ({ query }) => {
      const jobs = (await jobsOf(gateway)).sort((a, b) => (a.askedAt > b.askedAt ? -1 : 1));
      return { success: true as const, jobs: jobs.slice(0, query.limit).map(toPublicJob) };
    },
  );
  app.get(
    "/api/deletion-jobs/:id",
    {
      schema: {
        summary: "Get the state, counts and receipt of a deletion job",
        tags,
        params: DeletionJobParams,
        response: { 200: DeletionJobAnswer, ...errors },
      },
    },
    async ({ params: { id } }) => {
      const entry = await gateway.bus.kv.get(deletionJobs, deletionJobKey(gateway.tenant, id));
      if (entry === undefined) throw new GreenroomError("not_found", `No deletion job "${id}".`);
      return { success: true as const, job: toPublicJob(entry.value) };
    },
  );
}

/** A gateway serves one tenant only. */
function requireOwn(gateway: Gateway, tenant: string): void {
  if (tenant === gateway.tenant) return;
  throw new GreenroomError("forbidden", `This gateway serves only the tenant "${gateway.tenant}".`);
}

const requesterOf = (name: string | undefined): string =>
  name === undefined ? "api" : `api: ${name}`.slice(0, 200);

/** A repeated request returns the running job. */
async function requestDeletion(
  gateway: Gateway,
  request: { readonly kind: "tenant" | "user"; readonly user?: string; readonly askedBy: string },
): Promise<DeletionJob> {
  const { bus, clock, tenant } = gateway;
  const same = (await jobsOf(gateway)).find(
    (job) => !isOver(job) && job.kind === request.kind && job.user === request.user,
  );
  if (same !== undefined) return same;
  const job: DeletionJob = {
    v: 1,
    id: `del_${randomToken()}`,
    tenant,
    ...request,
    ...(request.user === undefined ? {} : { userHash: userHash(tenant, request.user) }),
    askedAt: isoNow(clock),
    state: "asked",
    ...{ takeovers: 0, passes: 0, counts: {}, sessions: 0, tasks: 0, heartbeat: 0 },
    writeId: randomToken(),
  };
  await bus.kv.update(deletionJobs, job, 0);
  return job;
}

/** docs/guides/data-deletion.md shows how to compute this hash with shasum. */
const userHash = (tenant: string, user: string): string =>
  createHash("sha256").update(`${tenant}\n${user}`).digest("hex");

const jobsOf = async ({ bus, tenant }: Gateway): Promise<DeletionJob[]> =>
  (await bus.kv.entries(deletionJobs, `${tenant}.>`)).map(({ value }) => value);

const messageFor = ({ id }: DeletionJob): string =>
  `The deletion has started. GET /api/deletion-jobs/${id} shows its progress, and in the end the receipt.`;

function toPublicJob(job: DeletionJob) {
  const { v: _, found: __, by: ___, heartbeat: ____, writeId: _____, user: ______, ...rest } = job;
  return rest;
}
