// The marks that removed keys leave in a bucket: what they look like, and how one is made.
import { headers, JsHeaders, type MsgHdrs } from "nats";
import { DELETE_MARKER_TTL_MS } from "../delivery-rules.ts";

/** A client's mark, or the server's own for what a time to live took. */
export const isDeleteMarker = (of: MsgHdrs | undefined): boolean =>
  Boolean(of?.get("KV-Operation") || of?.get("Nats-Marker-Reason"));

/**
 * The headers of a mark that takes all revisions of its key away. That of the client's own `purge` would stay for as
 * long as the bucket keeps anything: one for each session that there ever was. This one goes when everybody who
 * watches has seen it.
 */
export function deleteMarkerHeaders(): MsgHdrs {
  const mark = headers();
  mark.set("KV-Operation", "PURGE");
  mark.set(JsHeaders.RollupHdr, "sub");
  mark.set("Nats-TTL", `${DELETE_MARKER_TTL_MS / 1000}s`);
  return mark;
}
