// Addresses that the page may connect to.
import { describe, expect, it } from "vitest";
import { livekitSources } from "../../../../../services/gateway/http/page.ts";

describe("livekitSources", () => {
  it("allows LiveKit by WebSocket and HTTP, and every region of LiveKit Cloud", () => {
    expect(livekitSources(undefined)).toEqual([]);
    expect(livekitSources({ publicUrl: "wss://lk.example/path" })).toEqual([
      "wss://lk.example",
      "https://lk.example",
    ]);
    expect(livekitSources({ publicUrl: "ws://127.0.0.1:7880" })).toEqual([
      "ws://127.0.0.1:7880",
      "http://127.0.0.1:7880",
    ]);
    expect(livekitSources({ publicUrl: "wss://me.livekit.cloud" })).toContain("wss://*.livekit.cloud");
  });
});
