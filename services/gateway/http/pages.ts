// Pages of a list, newest first: the order of its rows, and the cursors that name a position in it.
import type { Bus, Stored } from "../../../libs/bus/bus.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { Channel } from "../../../libs/contracts/streams.ts";

/** Messages that are read at once, and for one page. A filter that few messages pass ends the page early. */
const READ_AT_ONCE = 200;
const READ_MAX = 5000;

/** The position of a row in its list. Positions never change, so pages stay complete while rows are added and removed. */
export interface Place {
  /** ISO time. */
  readonly at: string;
  readonly id: string;
}

/** Negative when `a` comes first: the newer one, and of two equally new ones the greater id. */
export const comparePlaces = (a: Place, b: Place): number =>
  compareText(b.at, a.at) || compareText(b.id, a.id);

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export const writeCursor = ({ at, id }: Place): string =>
  Buffer.from(JSON.stringify([at, id])).toString("base64url");

/** @throws GreenroomError invalid_request for a cursor that this list did not write */
export function readCursor(cursor: string): Place {
  try {
    const row: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
    if (Array.isArray(row) && typeof row[0] === "string" && typeof row[1] === "string")
      return { at: row[0], id: row[1] };
  } catch {
    // Reported below.
  }
  throw foreignCursor();
}

export const foreignCursor = (): GreenroomError =>
  new GreenroomError("invalid_request", "query.cursor: use the value of nextCursor of the previous page.");

/** Reads one page of matching messages of a stream, newest first. The cursors are sequence numbers. */
export async function pageOfChannel<T>(
  bus: Bus,
  channel: Channel<T>,
  { limit, cursor }: { readonly limit: number; readonly cursor?: string | undefined },
  fits: (message: T) => boolean,
): Promise<{ found: Stored<T>[]; nextCursor: string | null }> {
  if (cursor !== undefined && !/^[1-9]\d{0,15}$/.test(cursor)) throw foreignCursor();
  const found: Stored<T>[] = [];
  let before = cursor === undefined ? undefined : Number(cursor);
  for (let read = 0; read < READ_MAX; read += READ_AT_ONCE) {
    const page = await bus.streams.read(channel, {
      limit: READ_AT_ONCE,
      to: before === undefined ? undefined : before - 1,
      order: "newest-first",
    });
    for (const stored of page) {
      before = stored.sequence;
      if (fits(stored.message)) found.push(stored);
      if (found.length === limit) return { found, nextCursor: String(stored.sequence) };
    }
    if (page.length < READ_AT_ONCE) return { found, nextCursor: null };
  }
  return { found, nextCursor: before === undefined ? null : String(before) };
}
