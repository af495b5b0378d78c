// Sockets that listen on a port.
import { expect, test } from "vitest";
import { listeningInodes } from "../../../../cli/doctor/port-holder.ts";

test("finds sockets that listen on a port, not those connected to it", () => {
  const table = [
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100",
    "   1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100",
    "   2: 0100007F:D431 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100",
  ].join("\n");
  expect(listeningInodes(table, 8080)).toEqual(["4711"]);
  expect(listeningInodes(table, 4222)).toEqual([]);
});
