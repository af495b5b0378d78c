// Which tasks there are, in the order of their making: enough to list them, and no more than that is kept.
import type { Stop } from "../../../libs/bus/bus.ts";
import { tasks } from "../../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { ListTasksQuery } from "../../../libs/contracts/tasks/http.ts";
import { isActiveTask, isTaskEnd, type TaskState } from "../../../libs/contracts/tasks/task.ts";
import type { Gateway } from "../context.ts";

interface Indexed {
  readonly key: string;
  readonly id: string;
  readonly createdAt: string;
  readonly state: TaskState;
}

export interface TaskIndex {
  /** The keys of one page, newest first. @throws GreenroomError invalid_request for a cursor that isn't ours */
  page(query: ListTasksQuery): Promise<{ keys: string[]; nextCursor: string | null }>;
  stop: Stop;
}

type Deps = Pick<Gateway, "bus" | "tenant" | "log">;

/** Begins to follow the tasks at the first question, so that a gateway that nobody asks keeps nothing. */
export function indexTasks({ bus, tenant }: Deps): TaskIndex {
  const known = new Map<string, Indexed>();
  let sorted: Indexed[] | undefined;
  let watching: Promise<Stop> | undefined;
  const watch = () =>
    bus.kv.watch(tasks, ({ key, value }) => {
      const before = known.get(key);
      if (value === undefined) {
        if (known.delete(key)) sorted = undefined;
        return;
      }
      if (value.tenant !== tenant) return;
      if (before === undefined) sorted = undefined;
      // In place: the order hangs on what never changes.
      if (before !== undefined) Object.assign(before, { state: value.state });
      else known.set(key, { key, id: value.taskId, createdAt: value.createdAt, state: value.state });
    });
  return {
    async page({ state, limit, cursor }) {
      watching ??= watch().catch((error: unknown) => {
        watching = undefined;
        throw error;
      });
      await watching;
      sorted ??= [...known.values()].sort(compare);
      const after = cursor === undefined ? undefined : readCursor(cursor);
      const found: Indexed[] = [];
      for (const task of sorted) {
        if (after !== undefined && compare(task, after) <= 0) continue;
        if (!fits(task.state, state)) continue;
        if (found.length === limit) return pageOf(found, true);
        found.push(task);
      }
      return pageOf(found, false);
    },
    async stop() {
      await (await watching?.catch(() => undefined))?.();
    },
  };
}

const fits = (state: TaskState, wanted: ListTasksQuery["state"]): boolean => {
  if (wanted === undefined) return true;
  if (wanted === "active") return isActiveTask(state);
  return wanted === "ended" ? isTaskEnd(state) : state === wanted;
};

type Place = Pick<Indexed, "createdAt" | "id">;

/** Negative when `a` comes first: the newer one, and of two equally new ones the greater id. */
const compare = (a: Place, b: Place): number =>
  compareText(b.createdAt, a.createdAt) || compareText(b.id, a.id);
const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function pageOf(found: readonly Indexed[], hasMore: boolean) {
  const last = found.at(-1);
  return {
    keys: found.map(({ key }) => key),
    nextCursor: hasMore && last !== undefined ? writeCursor(last) : null,
  };
}

const writeCursor = ({ createdAt, id }: Place): string =>
  Buffer.from(JSON.stringify([createdAt, id])).toString("base64url");

function readCursor(cursor: string): Place {
  try {
    const place: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
    if (Array.isArray(place) && typeof place[0] === "string" && typeof place[1] === "string")
      return { createdAt: place[0], id: place[1] };
  } catch {
    // Said below.
  }
  throw new GreenroomError("invalid_request", "query.cursor: take it from nextCursor of the page before.");
}
