// Origins of pages that may use the API.
import { describe, expect, it } from "vitest";
import { isAllowedOrigin } from "../../../../../services/gateway/http/cors-origins.ts";

describe("isAllowedOrigin", () => {
  it("accepts pages of the gateway's address, of this machine, or of the configured origins", () => {
    const isAllowed = (origin: string | undefined, setting?: string) =>
      isAllowedOrigin(origin, "gw.example:8080", setting);
    expect(isAllowed(undefined)).toBe(true);
    expect(isAllowed("http://gw.example:8080")).toBe(true);
    expect(isAllowed("http://localhost:3000")).toBe(true);
    expect(isAllowed("http://[::1]:3000")).toBe(true);
    expect(isAllowed("http://localhost.evil.example")).toBe(false);
    expect(isAllowed("null")).toBe(false);
    expect(isAllowed("https://a.example", "https://b.example, https://a.example/")).toBe(true);
    expect(isAllowed("http://localhost:3000", "https://a.example")).toBe(false);
    expect(isAllowed("https://anyone.example", "*")).toBe(true);
  });
});
