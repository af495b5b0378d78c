// Service JWTs: accepted tokens, and attacks that fail.
import { createHmac, generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT } from "jose";
import { describe, expect, it, test } from "vitest";
import { createServiceJwts, type ServiceJwtConfig } from "../../../../libs/auth/service-jwt.ts";
import { isError } from "../../../../libs/contracts/errors.ts";
import { ConfigError } from "../../../../libs/runtime/config.ts";
import { signServiceJwt } from "../../../kit/fixtures/service-jwt.ts";

const SECRET = "a-secret-that-is-long-enough-for-hs256";
const caller = { tenant: "acme", subject: "runner-1" };

const settings = (more: Partial<ServiceJwtConfig> = {}): ServiceJwtConfig => ({
  CONTROL_PLANE_JWT_SECRET: SECRET,
  CONTROL_PLANE_JWT_PUBLIC_KEYS: undefined,
  CONTROL_PLANE_JWT_AUDIENCE: "greenroom",
  ...more,
});

const jwts = (more: Partial<ServiceJwtConfig> = {}) => {
  const made = createServiceJwts(settings(more));
  if (made === undefined) throw new Error("nothing is set");
  return made;
};

const onlyKeys = (keys: string) =>
  jwts({ CONTROL_PLANE_JWT_SECRET: undefined, CONTROL_PLANE_JWT_PUBLIC_KEYS: keys });

/** The message with which a token is refused. */
async function refusal(verified: Promise<unknown>): Promise<string> {
  const error = await verified.then(
    () => new Error("it was accepted"),
    (thrown: unknown) => thrown,
  );
  expect(isError(error, "unauthorized"), String(error)).toBe(true);
  return (error as Error).message;
}

interface Token {
  readonly header?: Record<string, unknown>;
  readonly claims?: Record<string, unknown>;
}

const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;

/** Any token that can be written by hand, signed by HMAC with the given secret. */
function handmade({ header, claims }: Token, secret: string | Buffer | undefined): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = `${part({ alg: "HS256", ...header })}.${part({
    sub: "runner-1",
    aud: "greenroom",
    tenant: "acme",
    exp: inAnHour(),
    ...claims,
  })}`;
  const signature = secret === undefined ? "" : createHmac("sha256", secret).update(body).digest("base64url");
  return `${body}.${signature}`;
}

const byEdDsa = (key: KeyObject, { header, claims }: Token = {}) =>
  new SignJWT({ tenant: "acme", sub: "runner-1", aud: "greenroom", exp: inAnHour(), ...claims })
    .setProtectedHeader({ alg: "EdDSA", ...header })
    .sign(key);

const pemOf = (key: KeyObject): string => key.export({ type: "spki", format: "pem" }).toString();

describe("an HS256 token", () => {
  it("identifies the caller and the tenant", async () => {
    expect(await jwts().verify(await signServiceJwt(SECRET, caller))).toEqual(caller);
    expect(await jwts().verify(handmade({}, SECRET))).toEqual(caller);
  });

  test.each<[string, Token, RegExp]>([
    ["an expired token", { claims: { exp: 1_000_000 } }, /expired/],
    ["a token without an expiry", { claims: { exp: undefined } }, /no "exp"/],
    ["a token that isn't valid yet", { claims: { nbf: inAnHour() } }, /"nbf"/],
    ["a token for another audience", { claims: { aud: "another-service" } }, /audience is not "greenroom"/],
    ["a token without an audience", { claims: { aud: undefined } }, /audience/],
    ["a token without a tenant", { claims: { tenant: undefined } }, /no valid "tenant"/],
    ["a tenant with wildcards", { claims: { tenant: "a.*" } }, /no valid "tenant"/],
    ["a tenant other than a string", { claims: { tenant: ["acme"] } }, /no valid "tenant"/],
    ["a token without a subject", { claims: { sub: undefined } }, /no "sub"/],
    ["a subject with a line break", { claims: { sub: "a\nb" } }, /"sub"/],
  ])("is refused with a reason (%s)", async (_what, token, message) => {
    expect(await refusal(jwts().verify(handmade(token, SECRET)))).toMatch(message);
  });

  it("is refused with another secret, altered, cut or invented", async () => {
    expect(await refusal(jwts().verify(handmade({}, `${SECRET}.`)))).toMatch(/signature/);
    const [header, , signature] = handmade({}, SECRET).split(".");
    const [, otherClaims] = handmade({ claims: { tenant: "other" } }, SECRET).split(".");
    expect(await refusal(jwts().verify(`${header}.${otherClaims}.${signature}`))).toMatch(/signature/);
    expect(await refusal(jwts().verify(`${header}.${otherClaims}.`))).toMatch(/signature/);
    for (const text of ["", "Bearer", "a.b.c", "{}", "..", handmade({}, SECRET).slice(5)]) {
      expect(await refusal(jwts().verify(text))).toMatch(/JWT/);
    }
  });

  it("is absent from the message of its refusal", async () => {
    const token = handmade({}, "another-secret-that-is-long-enough-too");
    const error = await jwts()
      .verify(token)
      .catch((thrown: unknown) => thrown);
    expect(JSON.stringify([String(error), (error as Error).stack])).not.toContain(token.split(".")[2]);
  });

  it("is accepted a little longer, for a clock that is behind", async () => {
    const seconds = (ago: number) => ({ claims: { exp: Math.floor(Date.now() / 1000) - ago } });
    expect(await jwts().verify(handmade(seconds(5), SECRET))).toEqual(caller);
    expect(await refusal(jwts().verify(handmade(seconds(60), SECRET)))).toMatch(/expired/);
  });
});

describe("an EdDSA token", () => {
  const one = generateKeyPairSync("ed25519");
  const two = generateKeyPairSync("ed25519");
  const jwk = (key: KeyObject, kid?: string) => ({
    ...key.export({ format: "jwk" }),
    ...(kid === undefined ? {} : { kid }),
  });

  it("is accepted with a PEM key, also with escaped line breaks, and with one of several keys", async () => {
    const token = await byEdDsa(two.privateKey);
    expect(await onlyKeys(pemOf(two.publicKey)).verify(token)).toEqual(caller);
    expect(await onlyKeys(pemOf(two.publicKey).trim().replaceAll("\n", "\\n")).verify(token)).toEqual(caller);
    expect(await onlyKeys(pemOf(one.publicKey) + pemOf(two.publicKey)).verify(token)).toEqual(caller);
    expect(await refusal(onlyKeys(pemOf(one.publicKey)).verify(token))).toMatch(/signature/);
  });

  it("is accepted with the key of a JWKS that it names", async () => {
    const keys = JSON.stringify({ keys: [jwk(one.publicKey, "one"), jwk(two.publicKey, "two")] });
    const named = (kid: string) => byEdDsa(two.privateKey, { header: { kid } });
    expect(await onlyKeys(keys).verify(await named("two"))).toEqual(caller);
    expect(await onlyKeys(keys).verify(await byEdDsa(two.privateKey))).toEqual(caller);
    expect(await refusal(onlyKeys(keys).verify(await named("one")))).toMatch(/signature/);
    expect(await refusal(onlyKeys(keys).verify(await named("three")))).toMatch(/its key is not among/);
    expect(await onlyKeys(JSON.stringify(jwk(two.publicKey))).verify(await named("any"))).toEqual(caller);
  });

  it("is accepted with keys from a file", async () => {
    const dir = mkdtempSync(join(tmpdir(), "keys-"));
    try {
      const file = join(dir, "keys.pem");
      writeFileSync(file, `# The runner's.\n${pemOf(one.publicKey)}`);
      expect(await onlyKeys(file).verify(await byEdDsa(one.privateKey))).toEqual(caller);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("is accepted beside HS256, each with its own key", async () => {
    const both = jwts({ CONTROL_PLANE_JWT_PUBLIC_KEYS: pemOf(one.publicKey) });
    expect(await both.verify(await byEdDsa(one.privateKey))).toEqual(caller);
    expect(await both.verify(await byEdDsa(one.privateKey, { header: { alg: "Ed25519" } }))).toEqual(caller);
    expect(await both.verify(handmade({}, SECRET))).toEqual(caller);
  });

  it("is refused when only a secret is set", async () => {
    expect(await refusal(jwts().verify(await byEdDsa(one.privateKey)))).toMatch(/PUBLIC_KEYS/);
  });
});

describe("algorithm confusion", () => {
  const { publicKey } = generateKeyPairSync("ed25519");
  const pem = pemOf(publicKey);
  const raw = publicKey.export({ format: "jwk" }).x ?? "";

  it("fails with the public key as a secret", async () => {
    for (const secret of [pem, pem.trim(), raw, Buffer.from(raw, "base64url")]) {
      for (const alg of ["HS256", "EdDSA", "Ed25519"]) {
        const token = handmade({ header: { alg } }, secret);
        expect(await refusal(onlyKeys(pem).verify(token))).toMatch(/HS256|signature/);
        const both = jwts({ CONTROL_PLANE_JWT_PUBLIC_KEYS: pem });
        expect(await refusal(both.verify(token))).toMatch(/signature/);
      }
    }
  });

  it("fails without an algorithm, with another one, and with a key inside the token", async () => {
    for (const alg of ["none", "None", "hs256", "HS384", "HS512", "RS256", "ES256", undefined, ["HS256"]]) {
      const token = { header: { alg } };
      expect(await refusal(jwts().verify(handmade(token, SECRET)))).toMatch(/algorithm|not a JWT/);
      expect(await refusal(jwts().verify(handmade(token, undefined)))).toMatch(/algorithm|not a JWT/);
    }
    const own = generateKeyPairSync("ed25519");
    const header = { jwk: own.publicKey.export({ format: "jwk" }) };
    expect(await refusal(onlyKeys(pem).verify(await byEdDsa(own.privateKey, { header })))).toMatch(
      /signature/,
    );
  });
});

describe("createServiceJwts", () => {
  it("accepts nobody without a secret and a key", () => {
    expect(createServiceJwts(settings({ CONTROL_PLANE_JWT_SECRET: undefined }))).toBeUndefined();
  });

  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const own = generateKeyPairSync("ed25519");
  test.each<[string, Partial<ServiceJwtConfig>, RegExp]>([
    ["a short secret", { CONTROL_PLANE_JWT_SECRET: "short" }, /5 bytes.*openssl rand/],
    ["a private key", { CONTROL_PLANE_JWT_PUBLIC_KEYS: privatePem(own.privateKey) }, /private/],
    [
      "a private key in a JWKS",
      { CONTROL_PLANE_JWT_PUBLIC_KEYS: JSON.stringify(own.privateKey.export({ format: "jwk" })) },
      /private/,
    ],
    ["a shared key in a JWKS", { CONTROL_PLANE_JWT_PUBLIC_KEYS: '{"kty":"oct","k":"AAAA"}' }, /shared/],
    ["a key of another type", { CONTROL_PLANE_JWT_PUBLIC_KEYS: pemOf(rsa.publicKey) }, /type rsa/],
    ["a JWKS without keys", { CONTROL_PLANE_JWT_PUBLIC_KEYS: '{"keys":[]}' }, /no key/],
    ["a broken JWKS", { CONTROL_PLANE_JWT_PUBLIC_KEYS: "{nonsense" }, /not valid JSON/],
    ["a JWKS of nonsense", { CONTROL_PLANE_JWT_PUBLIC_KEYS: '{"keys":[null,1]}' }, /unreadable key/],
    [
      "a file that isn't there",
      { CONTROL_PLANE_JWT_PUBLIC_KEYS: "/nowhere/keys.pem" },
      /readable file.*ENOENT/,
    ],
  ])("rejects %s", (_what, more, message) => {
    expect(() => createServiceJwts(settings(more))).toThrow(ConfigError);
    expect(() => createServiceJwts(settings(more))).toThrow(message);
  });
});

function privatePem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}
