// An index of all tasks in the order of their creation, with just enough data to list them.
import type { Stop } from "../../../libs/bus/bus.ts";
import { tasks } from "../../../libs/contracts/buckets.ts";
import type { ListTasksQuery } from "../../../libs/contracts/tasks/http.ts";
import { isActiveTask, isTaskEnd, type TaskState } from "../../../libs/contracts/tasks/task.ts";
import type { Gateway } from "../context.ts";
import { comparePlaces, type Place, readCursor, writeCursor } from "../http/pages.ts";

interface Indexed extends Place {
  readonly key: string;
  readonly state: TaskState;
}

export interface TaskIndex {
  /** The keys of one page, newest first. @throws GreenroomError invalid_request for an unknown cursor */
  page(query: ListTasksQuery): Promise<{ keys: string[]; nextCursor: string | null }>;
  stop: Stop;
}

type Deps = Pick<Gateway, "bus" | "tenant" | "log">;

/** Watches the tasks from the first request on, so that a gateway without such requests keeps nothing in memory. */
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
      // The order depends only on fields that never change, so the entry can be updated.
      if (before !== undefined) Object.assign(before, { state: value.state });
      else known.set(key, { key, id: value.taskId, at: value.createdAt, state: value.state });
    });
  return {
    async page({ state, limit, cursor }) {
      watching ??= watch().catch((error: unknown) => {
        watching = undefined;
        throw error;
      });
      await watching;
      sorted ??= [...known.values()].sort(comparePlaces);
      const after = cursor === undefined ? undefined : readCursor(cursor);
      const found: Indexed[] = [];
      for (const task of sorted) {
        if (after !== undefined && comparePlaces(task, after) <= 0) continue;
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

function pageOf(found: readonly Indexed[], hasMore: boolean) {
  const last = found.at(-1);
  return {
    keys: found.map(({ key }) => key),
    nextCursor: hasMore && last !== undefined ? writeCursor(last) : null,
  };
}
