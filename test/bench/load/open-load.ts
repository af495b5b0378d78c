// Starts at a rate that doesn't wait for answers, as people don't: what became of each of them.
import { messageOf } from "../../../libs/contracts/errors.ts";
import type { Stack } from "../../kit/stack/stack.ts";
import { quantile } from "../statistics.ts";
import { processSample } from "./samples.ts";

export interface OfferOptions {
  readonly profile: string;
  readonly perSecond: number;
  readonly seconds: number;
  /** How long each start waits for its agent. */
  readonly waitMs: number;
  /** How long a session lasts once it is ready. */
  readonly lastsMs: number;
}

export interface Outcome {
  readonly offered: number;
  /** Ready within their wait. */
  readonly ready: number;
  /** Taken in, and still waiting when their wait was over. */
  readonly waiting: number;
  /** Told 429 with Retry-After. */
  readonly refused: number;
  /** Anything else, in words. */
  readonly wrong: readonly string[];
  /** From asking to the answer of those that were ready, in ms. */
  readonly readyMs: { readonly p50: number; readonly p99: number };
  /** The same of the refusals. */
  readonly refusedMs: { readonly p50: number; readonly p99: number };
  /** Per second: sessions not yet ready, and each process's memory in MB. */
  readonly seconds: readonly { readonly starting: number; readonly memoryMb: Record<string, number> }[];
}

export async function offer(stack: Stack, options: OfferOptions): Promise<Outcome> {
  const readyMs: number[] = [];
  const refusedMs: number[] = [];
  const wrong: string[] = [];
  const seconds: { starting: number; memoryMb: Record<string, number> }[] = [];
  let offered = 0;
  let waiting = 0;
  const one = async () => {
    const began = performance.now();
    const { profile, waitMs: wait, lastsMs } = options;
    const { status, body, headers } = await stack.post("/api/session/start", { profile, wait });
    const tookMs = performance.now() - began;
    if (status === 429 && Number(headers.get("retry-after")) >= 1) return void refusedMs.push(tookMs);
    if (status === 200) readyMs.push(tookMs);
    else if (status === 202) waiting += 1;
    else return void wrong.push(`${status} ${JSON.stringify(body)}`);
    await new Promise((resolve) => setTimeout(resolve, lastsMs));
    const end = await stack.post(`/api/session/${body.sessionId}/end`);
    if (end.status >= 300) wrong.push(`an end was answered ${end.status} ${JSON.stringify(end.body)}`);
  };
  const underway = new Set<Promise<void>>();
  const watch = setInterval(() => {
    const look = lookAt(stack).then(
      (second) => void seconds.push(second),
      () => {},
    );
    underway.add(look);
  }, 1000);
  const began = performance.now();
  while (performance.now() - began < options.seconds * 1000) {
    const due = Math.floor(((performance.now() - began) / 1000) * options.perSecond);
    for (; offered < due; offered++) {
      const life = one()
        .catch((error: unknown) => void wrong.push(messageOf(error)))
        .finally(() => underway.delete(life));
      underway.add(life);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  clearInterval(watch);
  await Promise.all(underway);
  const figures = (values: readonly number[]) => ({
    p50: values.length === 0 ? 0 : Math.round(quantile(values, 0.5)),
    p99: values.length === 0 ? 0 : Math.round(quantile(values, 0.99)),
  });
  return {
    offered,
    ready: readyMs.length,
    waiting,
    refused: refusedMs.length,
    wrong,
    readyMs: figures(readyMs),
    refusedMs: figures(refusedMs),
    seconds,
  };
}

async function lookAt(stack: Stack): Promise<{ starting: number; memoryMb: Record<string, number> }> {
  const memoryMb: Record<string, number> = {};
  const processes: [string, number][] = [
    ...stack.children
      .filter(({ hasEnded }) => !hasEnded)
      .map(({ name, pid }): [string, number] => [name, pid]),
    ["nats-server", stack.nats.pid],
  ];
  for (const [name, pid] of processes) {
    const mb = processSample(name, pid)[`${name}: memory, MB`];
    if (mb !== undefined) memoryMb[name] = Math.round(mb);
  }
  const { body } = await stack.get("/api/health");
  return { starting: body.sessions.starting, memoryMb };
}

export const say = ({ offered, ready, waiting, refused, wrong, readyMs, refusedMs }: Outcome): string =>
  `${offered} offered: ${ready} ready (p50 ${readyMs.p50} ms, p99 ${readyMs.p99} ms), ${waiting} still waiting at the end of their wait, ${refused} refused with 429 (p50 ${refusedMs.p50} ms, p99 ${refusedMs.p99} ms), ${wrong.length} otherwise`;
