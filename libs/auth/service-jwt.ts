// Service JWTs: how another system says who it is, and for which tenant it speaks.
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

/** Another system that has shown who it is. */
export interface ServiceCaller {
  readonly tenant: string;
  /** The token's `sub`: the same at each of its requests. */
  readonly subject: string;
}

export interface ServiceJwts {
  /** @throws GreenroomError unauthorized, saying what is wrong with the token, and never the token itself */
  verify(token: string): Promise<ServiceCaller>;
}

/** RFC 7518 §3.2: a key of the same size as the hash or larger. */
const SECRET_BYTES_MIN = 32;
/** Whoever issues tokens has a clock of its own; a token lives a little longer rather than be refused unfairly. */
const CLOCK_TOLERANCE_S = 30;
const SUBJECT = /^[\x21-\x7e]{1,128}$/;

/**
 * What checks service JWTs, made from the settings.
 *
 * The algorithm decides which key is looked at, and a key is only ever used with its own algorithm: a public key
 * never serves as the secret of an HS256 token, and neither `none` nor any other algorithm is taken.
 *
 * @returns undefined when neither a secret nor a key is set: then nobody can show who they are
 * @throws ConfigError for a secret that is too short, or keys that can't be read
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
    `CONTROL_PLANE_JWT_SECRET: it has ${bytes.length} bytes, and HS256 needs ${SECRET_BYTES_MIN} at least. Make one with: openssl rand -base64 48`,
  ]);
}

type Keys = readonly (Uint8Array | KeyObject)[];

/** By the token's own header, which nobody has vouched for yet: it only picks which of our keys must vouch for it. */
function keysFor(
  token: string,
  secret: Uint8Array | undefined,
  publicKeys: readonly PublicKey[],
): { algorithm: string; keys: Keys } {
  const { alg, kid } = headerOf(token);
  switch (alg) {
    case "HS256":
      if (secret !== undefined) return { algorithm: alg, keys: [secret] };
      throw unauthorized("it is signed by HS256, and no CONTROL_PLANE_JWT_SECRET is set here");
    case "EdDSA":
    case "Ed25519": {
      const named = publicKeys.filter((key) => key.id === undefined || kid === undefined || key.id === kid);
      if (named.length > 0) return { algorithm: alg, keys: named.map(({ key }) => key) };
      throw unauthorized(
        publicKeys.length === 0
          ? "it is signed by EdDSA, and no CONTROL_PLANE_JWT_PUBLIC_KEYS are set here"
          : "it names a key that is none of CONTROL_PLANE_JWT_PUBLIC_KEYS",
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
      throw unauthorized(whatIsWrong(error, options), error);
    }
  }
  throw unauthorized("its signature is by none of the keys that are set here");
}

function whatIsWrong(error: unknown, { audience }: { audience?: string | string[] }): string {
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
  if (!tenant.success) throw unauthorized('it has no "tenant" that could be one');
  if (payload.sub === undefined || !SUBJECT.test(payload.sub))
    throw unauthorized('its "sub" is no name of 1 to 128 printable characters');
  return { tenant: tenant.data, subject: payload.sub };
}

const unauthorized = (reason: string, cause?: unknown): GreenroomError =>
  new GreenroomError(
    "unauthorized",
    `The service JWT can't be accepted: ${reason}.`,
    cause === undefined ? {} : { cause },
  );
