// Starts LiveKit's native library without its log capture, before the library would start it with.
import EventEmitter from "node:events";
import { createRequire } from "node:module";
import path from "node:path";

interface Bindings {
  readonly FfiEvent: { fromBinary(data: Uint8Array): unknown };
  livekitInitialize(callback: (data: Uint8Array) => void, captureLogs: boolean, version: string): void;
}

/**
 * With capture on, which is @livekit/rtc-node's default, every native log record goes through protobuf and an
 * emitter on which every Room listens: 150,000 records for twenty joins, and joins ten times slower. The
 * library takes whatever client stands in `globalThis._ffiClientInstance`, so one is put there that differs
 * in that one argument. A test notices when the library no longer looks as it does here.
 *
 * @returns why it could not be done; the library then starts by itself, slower but right.
 */
export function startNativeWithoutLogCapture(): string | undefined {
  const holder = globalThis as { _ffiClientInstance?: unknown };
  if (holder._ffiClientInstance !== undefined) return "the native library has started already";
  try {
    const main = createRequire(import.meta.url).resolve("@livekit/rtc-node");
    const require = createRequire(main);
    // These aren't exported, but a file may be required by its path.
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
