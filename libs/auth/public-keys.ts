// Reads Ed25519 public keys from a JWKS, from PEM blocks, or from a file with either.
import { createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { ConfigError } from "../runtime/config.ts";

export interface PublicKey {
  /** The `kid` by which a token may name the key. Keys in PEM have none. */
  readonly id: string | undefined;
  readonly key: KeyObject;
}

const NAME = "CONTROL_PLANE_JWT_PUBLIC_KEYS";
const PEM = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;

/** @throws ConfigError if the setting has no key, or one that is not an Ed25519 public key */
export function readPublicKeys(setting: string | undefined): PublicKey[] {
  if (setting === undefined) return [];
  const text = textOf(setting.trim());
  const keys = text.startsWith("{") || text.startsWith("[") ? keysOfJwks(text) : keysOfPem(text);
  if (keys.length === 0) throw fault("it contains no key");
  return keys;
}

const isInline = (setting: string): boolean => /^[{[]|^-----BEGIN/.test(setting);

/** Resolves a file name. In an inline PEM, `\n` stands for a line break, because environment files are line-based. */
function textOf(setting: string): string {
  if (isInline(setting)) return setting.replaceAll("\\n", "\n");
  try {
    return readFileSync(setting, "utf8").trim();
  } catch (error) {
    throw fault(
      `it is neither a JWKS nor a PEM nor the name of a readable file (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}

function keysOfJwks(text: string): PublicKey[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw fault("it starts like a JWKS but is not valid JSON");
  }
  const { keys = json } = json as { keys?: unknown };
  return (Array.isArray(keys) ? keys : [keys]).map((jwk: JsonWebKey & { kid?: unknown }) => {
    // A private or shared key would let this service issue tokens, which only the key's owner may do.
    if (jwk?.d !== undefined || jwk?.k !== undefined)
      throw fault("it contains a private or shared key; use the public key");
    const id = typeof jwk?.kid === "string" ? jwk.kid : undefined;
    return { id, key: ed25519(() => createPublicKey({ key: jwk, format: "jwk" })) };
  });
}

function keysOfPem(text: string): PublicKey[] {
  return [...text.matchAll(PEM)].map(([block, label = ""]) => {
    if (label.includes("PRIVATE")) throw fault("it contains a private key; use the public key");
    return { id: undefined, key: ed25519(() => createPublicKey(block)) };
  });
}

function ed25519(make: () => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = make();
  } catch {
    throw fault("it contains an unreadable key");
  }
  if (key.asymmetricKeyType === "ed25519") return key;
  throw fault(`it contains a key of type ${key.asymmetricKeyType}; only Ed25519 is supported`);
}

const fault = (reason: string): ConfigError => new ConfigError([`${NAME}: ${reason}.`]);
