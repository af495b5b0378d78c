// Reads Ed25519 public keys as operators have them: a JWKS, PEM blocks, or a file with either.
import { createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { ConfigError } from "../runtime/config.ts";

export interface PublicKey {
  /** The `kid` by which a token may name it; a PEM has none. */
  readonly id: string | undefined;
  readonly key: KeyObject;
}

const NAME = "CONTROL_PLANE_JWT_PUBLIC_KEYS";
const PEM = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;

/** @throws ConfigError for text in which there is no key, or one that isn't an Ed25519 public key */
export function readPublicKeys(setting: string | undefined): PublicKey[] {
  if (setting === undefined) return [];
  const text = textOf(setting.trim());
  const keys = text.startsWith("{") || text.startsWith("[") ? keysOfJwks(text) : keysOfPem(text);
  if (keys.length === 0) throw fault("there is no key in it");
  return keys;
}

const isInline = (setting: string): boolean => /^[{[]|^-----BEGIN/.test(setting);

/** Environment files hold one line each, so a PEM may have its line breaks written as \n. */
function textOf(setting: string): string {
  if (isInline(setting)) return setting.replaceAll("\\n", "\n");
  try {
    return readFileSync(setting, "utf8").trim();
  } catch (error) {
    throw fault(
      `it is neither a JWKS nor a PEM, and no file by that name can be read (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}

function keysOfJwks(text: string): PublicKey[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw fault("it begins like a JWKS and is not JSON");
  }
  const { keys = json } = json as { keys?: unknown };
  return (Array.isArray(keys) ? keys : [keys]).map((jwk: JsonWebKey & { kid?: unknown }) => {
    // What a private or a shared key could do here is what nobody but its owner may.
    if (jwk?.d !== undefined || jwk?.k !== undefined)
      throw fault("it holds a private or a shared key; give the public one only");
    const id = typeof jwk?.kid === "string" ? jwk.kid : undefined;
    return { id, key: ed25519(() => createPublicKey({ key: jwk, format: "jwk" })) };
  });
}

function keysOfPem(text: string): PublicKey[] {
  return [...text.matchAll(PEM)].map(([block, label = ""]) => {
    if (label.includes("PRIVATE")) throw fault("it holds a private key; give the public one only");
    return { id: undefined, key: ed25519(() => createPublicKey(block)) };
  });
}

function ed25519(make: () => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = make();
  } catch {
    throw fault("it holds a key that can't be read");
  }
  if (key.asymmetricKeyType === "ed25519") return key;
  throw fault(`it holds a key of the type ${key.asymmetricKeyType}; Ed25519 is taken`);
}

const fault = (what: string): ConfigError => new ConfigError([`${NAME}: ${what}.`]);
