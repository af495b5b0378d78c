// Starts LiveKit's native library without its log capture, before @livekit/rtc-node starts it with log capture.
import EventEmitter from "node:events";
import { createRequire } from "node:module";
import path from "node:path";

interface Bindings {
  readonly FfiEvent: { fromBinary(data: Uint8Array): unknown };
  livekitInitialize(callback: (data: Uint8Array) => void, captureLogs: boolean, version: string): void;
}

/**
 * With log capture, the default of @livekit/rtc-node, every native log record goes through protobuf and an emitter to
 * which every Room listens. Twenty joins produce 150,000 records and are ten times slower. The library uses the client in
 * `globalThis._ffiClientInstance`, so this function stores one there that differs in that argument only. A test detects
 * changes of the library.
 *
 * @returns the reason for a failure; the library then starts by itself, with log capture
 */
export function startNativeWithoutLogCapture(): string | undefined {
  const holder = globalThis as { _ffiClientInstance?: unknown };
  if (holder._ffiClientInstance !== undefined) return "the native library has started already";
  try {
    const main = createRequire(import.meta.url).resolve("@livekit/rtc-node");
    const require = createRequire(main);
    // The package does not export these files, but a file can be required by its path.
    const { FfiClient } = require(path.join(path.dirname(main), "ffi_client.cjs")) as {
      FfiClient: { prototype: object };
    };
    const { SDK_VERSION } = require(path.join(path.dirname(main), "version.cjs")) as { SDK_VERSION: string };
    const { FfiEvent, livekitInitialize } = require("@livekit/rtc-ffi-bindings") as Bindings;
    const client = new EventEmitter() as EventEmitter & { _nextRequestAsyncId: bigint };
    client.setMaxListeners(0);
    client._nextRequestAsyncId = 0n;
    Object.setPrototypeOf(client, FfiClient.prototype);
    livekitInitialize((data) => client.emit("ffi_event", FfiEvent.fromBinary(data)), false, SDK_VERSION);
    holder._ffiClientInstance = client;
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
