// Addresses that may be called on behalf of a customer.
import { describe, expect, test } from "vitest";
import {
  isCallable,
  isPublicAddress,
  readAllowedTargets,
  refusalOf,
} from "../../../../libs/runtime/url-guard.ts";

const nothing = readAllowedTargets(undefined);

describe("isPublicAddress, public", () => {
  test.each([
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "198.20.0.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450::1",
  ])("accepts %s", (address) => expect(isPublicAddress(address)).toBe(true));
});

describe("isPublicAddress, not public", () => {
  test.each([
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:7f00:1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "not an address",
    "",
  ])("rejects %s", (address) => expect(isPublicAddress(address)).toBe(false));
});

describe("readAllowedTargets", () => {
  const allowed = readAllowedTargets("hooks.internal, 10.2.0.0/16, [::1], fd00::/8, 127.0.0.1");

  test("allows the given names, addresses and networks, and nothing else", () => {
    expect(isCallable(allowed, "hooks.internal", "192.168.0.9")).toBe(true);
    expect(isCallable(allowed, "HOOKS.internal.", "192.168.0.9")).toBe(true);
    expect(isCallable(allowed, "other.internal", "192.168.0.9")).toBe(false);
    expect(isCallable(allowed, "evil-hooks.internal", "192.168.0.9")).toBe(false);
    expect(isCallable(allowed, "x", "10.2.255.1")).toBe(true);
    expect(isCallable(allowed, "x", "10.3.0.1")).toBe(false);
    expect(isCallable(allowed, "x", "::1")).toBe(true);
    expect(isCallable(allowed, "x", "fd12::7")).toBe(true);
    expect(isCallable(allowed, "x", "127.0.0.2")).toBe(false);
    expect(isCallable(allowed, "x", "8.8.8.8")).toBe(true);
  });

  test.each(["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8/8", "http://x", "a b", "*"])(
    "rejects a list with %s, naming that entry",
    (text) => expect(() => readAllowedTargets(`ok.example, ${text}`)).toThrow(text),
  );
});

describe("refusalOf", () => {
  test.each([
    ["ftp://example.com/", "only http"],
    ["file:///etc/passwd", "only http"],
    ["nonsense", "not a URL"],
    ["https://user:secret@example.com/", "password"],
    ["http://127.0.0.1/", "127.0.0.1"],
    ["http://2130706433/", "127.0.0.1"],
    ["http://0x7f.1/", "127.0.0.1"],
    ["http://017700000001/", "127.0.0.1"],
    ["http://0/", "0.0.0.0"],
    ["http://[::1]/", "::1"],
    ["http://[::ffff:127.0.0.1]/", "not a public address"],
    ["http://169.254.169.254/latest/meta-data/", "169.254.169.254"],
    ["http://localhost:8080/", "the server itself"],
    ["http://localhost./", "the server itself"],
    ["http://api.localhost/", "the server itself"],
  ])("rejects %s before any lookup", (url, reason) => expect(refusalOf(nothing, url)).toContain(reason));

  test("accepts public addresses and allowed ones", () => {
    expect(refusalOf(nothing, "https://example.com/hook?x=1")).toBeUndefined();
    expect(refusalOf(nothing, "http://8.8.8.8:8080/")).toBeUndefined();
    expect(refusalOf(readAllowedTargets("127.0.0.1"), "http://localhost:1/")).toBeUndefined();
    expect(refusalOf(readAllowedTargets("127.0.0.0/8"), "http://127.0.0.1:1/")).toBeUndefined();
  });
});
