// HTTP requests and answers about the deletion of data.
import { z } from "zod";
import { Tenant } from "../ids.ts";
import { DeletionJob, DeletionJobId } from "./deletion.ts";

export const TenantParams = z.strictObject({ tenant: Tenant });
export const TenantUserParams = z.strictObject({
  tenant: Tenant,
  userId: z.string().min(1).max(128).describe("Id of a user, or a phone number that was called."),
});
export const DeletionJobParams = z.strictObject({ id: DeletionJobId });

export const DeletionQuery = z.strictObject({
  askedBy: z
    .string()
    .min(1)
    .max(200)
    .regex(/^\P{Cc}*$/u, "askedBy may not hold control characters")
    .optional()
    .describe("Name of the requester, for the record and the receipt."),
});

const DeletionJobState = DeletionJob.omit({
  v: true,
  found: true,
  by: true,
  heartbeat: true,
  writeId: true,
  user: true,
}).meta({ id: "DeletionJob" });

export const DeletionAnswer = z
  .object({ success: z.literal(true), job: DeletionJobState, message: z.string() })
  .meta({ id: "DeletionAnswer" });
export const DeletionJobAnswer = z
  .object({ success: z.literal(true), job: DeletionJobState })
  .meta({ id: "DeletionJobAnswer" });
export const DeletionJobsQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(500).default(50),
});
export const DeletionJobsAnswer = z
  .object({ success: z.literal(true), jobs: z.array(DeletionJobState) })
  .meta({ id: "DeletionJobs" });
