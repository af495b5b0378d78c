// An invitation: what a room token was requested for. The session starts when somebody joins the room with the token.
import { z } from "zod";
import { ProfileName, Tenant } from "../ids.ts";
import { Metadata, MetadataText, User } from "./session.ts";

export const Invitation = z.object({
  v: z.literal(1),
  tenant: Tenant,
  room: z.string(),
  /** `id` is the identity in the room. */
  user: User,
  /** Absent: the default profile at the time of the start. */
  profile: ProfileName.optional(),
  metadata: Metadata,
  metadataText: MetadataText.optional(),
  /** How long the invitation is kept until its user joins, in s. Absent once the user has joined. */
  unusedForS: z.number().int().positive().optional(),
  /** The text for the agent as UTF-8 in base64, if it is large. */
  largeText: z.string().optional(),
});
export type Invitation = z.infer<typeof Invitation>;

/** The part of a key that names a room or an identity, which may hold any characters. */
const keyPart = (text: string): string =>
  btoa(String.fromCharCode(...new TextEncoder().encode(text)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

export const invitationKey = ({ tenant, room, user }: Pick<Invitation, "tenant" | "room" | "user">): string =>
  `${tenant}.${keyPart(room)}.${keyPart(user.id)}`;

/** The filter for all invitations to a room. */
export const invitationsTo = (tenant: string, room: string): string => `${tenant}.${keyPart(room)}.*`;
