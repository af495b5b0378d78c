// Service JWTs, by which another system authenticates and names its tenant.
import type { KeyObject } from "node:crypto";
import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from "jose";
import { GreenroomError, messageOf } from "../contracts/errors.ts";
import { Tenant } from "../contracts/ids.ts";
import { ConfigError, type ConfigOf, setting } from "../runtime/config.ts";
import { type PublicKey, readPublicKeys } from "./public-keys.ts";

export const serviceJwtSettings = {
  CONTROL_PLANE_JWT_SECRET: setting.secret(
    "Secret for service JWTs that are signed with HS256, at least 32 bytes. Everybody who has it can create such tokens.",
  ),
  CONTROL_PLANE_JWT_PUBLIC_KEYS: setting.optionalText(
    "Ed25519 public keys for service JWTs that are signed with EdDSA: a JWKS, PEM blocks, or the path of a file with either.",
  ),
  CONTROL_PLANE_JWT_AUDIENCE: setting.text("Audience that a service JWT must name.", "greenroom"),
};
export type ServiceJwtConfig = ConfigOf<typeof serviceJwtSettings>;

/** An authenticated service of another system. */
export interface ServiceCaller {
  readonly tenant: string;
  /** The token's `sub`: the same in all of the service's requests. */
  readonly subject: string;
}

export interface ServiceJwts {
  /** @throws GreenroomError unauthorized. The message names the problem and never contains the token. */
  verify(token: string): Promise<ServiceCaller>;
}

/** RFC 7518 §3.2: the key must be at least as long as the hash. */
const SECRET_BYTES_MIN = 32;
/** Tolerated difference between the issuer's clock and this one. */
const CLOCK_TOLERANCE_S = 30;
const SUBJECT = /^[\x21-\x7e]{1,128}$/;

/**
 * A verifier of service JWTs with the configured keys.
 *
 * The token's algorithm selects the keys, and a key is used with its own algorithm only. A public key never serves as
 * the secret of an HS256 token, and `none` and all other algorithms are rejected.
 *
 * @returns undefined if neither a secret nor a key is set; no service can authenticate then
 * @throws ConfigError if the secret is too short or a key can't be read
 */
export function createServiceJwts(
  config: ServiceJwtConfig,
  now: () => Date = () => new Date(),
): ServiceJwts | undefined {
  const secret = secretOf(config.CONTROL_PLANE_JWT_SECRET);
  const publicKeys = readPublicKeys(config.CONTROL_PLANE_JWT_PUBLIC_KEYS);
  if (secret === undefined && publicKeys.length === 0) return undefined;
  return {
    async verify(token) {
      const { algorithm, keys } = keysFor(token, secret, publicKeys);
      const payload = await verifyWithAny(token, keys, {
        algorithms: [algorithm],
        audience: config.CONTROL_PLANE_JWT_AUDIENCE,
        requiredClaims: ["exp", "sub"],
        clockTolerance: CLOCK_TOLERANCE_S,
        currentDate: now(),
      });
      return callerOf(payload);
    },
  };
}

function secretOf(secret: string | undefined): Uint8Array | undefined {
  if (secret === undefined) return undefined;
  const bytes = new TextEncoder().encode(secret);
  if (bytes.length >= SECRET_BYTES_MIN) return bytes;
  throw new ConfigError([
    `CONTROL_PLANE_JWT_SECRET: it has ${bytes.length} bytes, but HS256 needs at least ${SECRET_BYTES_MIN}. Generate one with: openssl rand -base64 48`,
  ]);
}

type Keys = readonly (Uint8Array | KeyObject)[];

/** Selects keys by the token's header. The header is not verified yet, so it may only select among configured keys. */
function keysFor(
  token: string,
  secret: Uint8Array | undefined,
  publicKeys: readonly PublicKey[],
): { algorithm: string; keys: Keys } {
  const { alg, kid } = headerOf(token);
  switch (alg) {
    case "HS256":
      if (secret !== undefined) return { algorithm: alg, keys: [secret] };
      throw unauthorized("it is signed with HS256, but CONTROL_PLANE_JWT_SECRET is not set");
    case "EdDSA":
    case "Ed25519": {
      const named = publicKeys.filter((key) => key.id === undefined || kid === undefined || key.id === kid);
      if (named.length > 0) return { algorithm: alg, keys: named.map(({ key }) => key) };
      throw unauthorized(
        publicKeys.length === 0
          ? "it is signed with EdDSA, but CONTROL_PLANE_JWT_PUBLIC_KEYS is not set"
          : "its key is not among CONTROL_PLANE_JWT_PUBLIC_KEYS",
      );
    }
    default:
      throw unauthorized("its algorithm is neither HS256 nor EdDSA");
  }
}

function headerOf(token: string): { alg?: unknown; kid?: unknown } {
  try {
    return decodeProtectedHeader(token);
  } catch {
    throw unauthorized("it is not a JWT");
  }
}

async function verifyWithAny(
  token: string,
  keys: Keys,
  options: NonNullable<Parameters<typeof jwtVerify>[2]>,
): Promise<JWTPayload> {
  for (const key of keys) {
    try {
      return (await jwtVerify(token, key, options)).payload;
    } catch (error) {
      if (error instanceof errors.JWSSignatureVerificationFailed) continue;
      throw unauthorized(reasonOf(error, options), error);
    }
  }
  throw unauthorized("its signature matches none of the configured keys");
}

function reasonOf(error: unknown, { audience }: { audience?: string | string[] }): string {
  if (error instanceof errors.JWTExpired) return "it has expired";
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === "aud") return `its audience is not "${audience}"`;
    if (error.reason === "missing") return `it has no "${error.claim}"`;
    return `its "${error.claim}" can't be accepted`;
  }
  return messageOf(error);
}

function callerOf(payload: JWTPayload): ServiceCaller {
  const tenant = Tenant.safeParse(payload.tenant);
  if (!tenant.success) throw unauthorized('it has no valid "tenant"');
  if (payload.sub === undefined || !SUBJECT.test(payload.sub))
    throw unauthorized('its "sub" must be 1 to 128 printable characters');
  return { tenant: tenant.data, subject: payload.sub };
}

const unauthorized = (reason: string, cause?: unknown): GreenroomError =>
  new GreenroomError("unauthorized", `Invalid service JWT: ${reason}.`, cause === undefined ? {} : { cause });
