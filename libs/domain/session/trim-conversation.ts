// Trims a conversation to a size: omits the oldest turns and counts them.
import type { ConversationItem, SavedConversation } from "../../contracts/sessions/conversation.ts";

/**
 * The newest turns that fit. A turn begins with a message of the user. An answer is never kept without its question, nor
 * the output of a tool without its call. If the newest turn does not fit, its oldest items are omitted.
 *
 * @param alreadyOmitted the number of items that earlier agents omitted
 */
export function trimConversation(
  items: readonly ConversationItem[],
  limitBytes: number,
  alreadyOmitted = 0,
): SavedConversation {
  const sizes = items.map(bytesOf);
  const isTurn = items.map(beginsTurn);
  let size = sizes.reduce((sum, each) => sum + each, 1);
  let first = 0;
  const lastTurn = isTurn.lastIndexOf(true);
  while (size > limitBytes && first < items.length) {
    do {
      size -= sizes[first] ?? 0;
      first += 1;
    } while (first < lastTurn && isTurn[first] !== true);
  }
  return { items: items.slice(first), omitted: alreadyOmitted + first };
}

const beginsTurn = (item: ConversationItem): boolean => item.type === "message" && item.role === "user";

/** Includes the comma that follows the item. */
const bytesOf = (item: ConversationItem): number => Buffer.byteLength(JSON.stringify(item)) + 1;
