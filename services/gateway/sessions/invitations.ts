// Stores invitations, and finds the ones to a room.
import { invitations } from "../../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import {
  type Invitation,
  invitationKey,
  invitationsTo,
} from "../../../libs/contracts/sessions/invitation.ts";
import type { Gateway } from "../context.ts";
import type { RoomStart } from "./ensure-session.ts";

const MAX_TRIES = 5;
/** A user may join in the last second of the token. LiveKit's clock may differ, and its webhook may be late. */
const LAST_MOMENT_S = 120;

/**
 * Stores an invitation. A later one of the same user to the same room replaces it.
 * @throws GreenroomError overloaded, storage_full, storage_unavailable
 */
export async function saveInvitation(gateway: Gateway, invitation: Invitation): Promise<void> {
  const { kv } = gateway.bus;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const stored = await kv.get(invitations, invitationKey(invitation));
    if ((await kv.update(invitations, invitation, stored?.revision ?? 0)) !== undefined) return;
  }
  throw new GreenroomError(
    "overloaded",
    "There are too many token requests for this user and room at once. Retry in a moment.",
  );
}

/** The invitation with which a participant has joined a room. */
export async function findInvitation(
  { bus, tenant }: Gateway,
  room: string,
  identity: string,
): Promise<Invitation | undefined> {
  const key = invitationKey({ tenant, room, user: { id: identity, name: "" } });
  return (await bus.kv.get(invitations, key))?.value;
}

/** The invitation of a new token. */
export const invitationOf = (
  { config, tenant }: Gateway,
  { largeText, metadata, metadataText, profile, room, user }: RoomStart,
): Invitation => ({
  ...{ v: 1, tenant, room, user, metadata },
  unusedForS: config.GREENROOM_TOKEN_TTL_S + LAST_MOMENT_S,
  ...(profile === undefined ? {} : { profile }),
  ...(metadataText === undefined ? {} : { metadataText }),
  ...(largeText === undefined ? {} : { largeText: Buffer.from(largeText).toString("base64") }),
});

export const startOf = ({
  largeText,
  metadata,
  metadataText,
  profile,
  room,
  user,
}: Invitation): RoomStart => ({
  ...{ room, user, metadata, profile },
  ...(metadataText === undefined ? {} : { metadataText }),
  ...(largeText === undefined ? {} : { largeText: Buffer.from(largeText, "base64").toString() }),
});

/** Keeps the invitation of a user who has joined, because LiveKit renews the token of a connected user. */
export async function keepInvitation(
  { bus, tenant }: Gateway,
  room: string,
  identity: string,
): Promise<void> {
  const key = invitationKey({ tenant, room, user: { id: identity, name: "" } });
  const stored = await bus.kv.get(invitations, key);
  if (stored?.value.unusedForS === undefined) return;
  const { unusedForS: _, ...used } = stored.value;
  // A token request that replaces the invitation at this moment has its own time.
  await bus.kv.update(invitations, used, stored.revision);
}

export async function invitedTo({ bus, tenant }: Gateway, room: string): Promise<Invitation[]> {
  const found = await bus.kv.entries(invitations, invitationsTo(tenant, room));
  return found.map(({ value }) => value);
}
