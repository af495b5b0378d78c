// The markers that deleted keys leave in a bucket.
import { headers, JsHeaders, type MsgHdrs } from "nats";
import { DELETE_MARKER_TTL_MS } from "../delivery-rules.ts";

/** Whether a message is the marker of a client, or of the server for an expired key. */
export const isDeleteMarker = (of: MsgHdrs | undefined): boolean =>
  Boolean(of?.get("KV-Operation") || of?.get("Nats-Marker-Reason"));

/**
 * The headers of a marker that removes all revisions of its key. It expires once every watcher has seen it. The marker
 * of the client's own `purge` would stay as long as the bucket's records, one for each session that ever existed.
 */
export function deleteMarkerHeaders(): MsgHdrs {
  const marker = ttlHeaders(DELETE_MARKER_TTL_MS);
  marker.set("KV-Operation", "PURGE");
  marker.set(JsHeaders.RollupHdr, "sub");
  return marker;
}

/** The header of a message that expires. NATS counts in seconds. */
export function ttlHeaders(ttlMs: number): MsgHdrs {
  const expiring = headers();
  expiring.set("Nats-TTL", `${Math.ceil(ttlMs / 1000)}s`);
  return expiring;
}
