// Open-loop load: starts sessions at a fixed rate without waiting for answers, and counts the outcomes.
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
  /** Accepted, but not ready at the end of their wait. */
  readonly waiting: number;
  /** Answered with 429 and Retry-After. */
  readonly refused: number;
  /** Descriptions of all other outcomes. */
  readonly wrong: readonly string[];
  /** The time from the request to the answer of the ready ones, in ms. */
  readonly readyMs: { readonly p50: number; readonly p99: number };
  /** The time from the request to a refusal, in ms. */
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
    const startedAt = performance.now();
    const { profile, waitMs: wait, lastsMs } = options;
    const { status, body, headers } = await stack.post("/api/session/start", { profile, wait });
    const tookMs = performance.now() - startedAt;
    if (status === 429 && Number(headers.get("retry-after")) >= 1) return void refusedMs.push(tookMs);
    if (status === 200) readyMs.push(tookMs);
    else if (status === 202) waiting += 1;
    else return void wrong.push(`${status} ${JSON.stringify(body)}`);
    await new Promise((resolve) => setTimeout(resolve, lastsMs));
    const end = await stack.post(`/api/session/${body.sessionId}/end`);
    if (end.status >= 300) wrong.push(`an end returned ${end.status} ${JSON.stringify(end.body)}`);
  };
  const inFlight = new Set<Promise<void>>();
  const sampling = setInterval(() => {
    const sample = takeSecond(stack).then(
      (second) => void seconds.push(second),
      () => {},
    );
    inFlight.add(sample);
  }, 1000);
  const startedAt = performance.now();
  while (performance.now() - startedAt < options.seconds * 1000) {
    const due = Math.floor(((performance.now() - startedAt) / 1000) * options.perSecond);
    for (; offered < due; offered++) {
      const life = one()
        .catch((error: unknown) => void wrong.push(messageOf(error)))
        .finally(() => inFlight.delete(life));
      inFlight.add(life);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  clearInterval(sampling);
  await Promise.all(inFlight);
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

async function takeSecond(stack: Stack): Promise<{ starting: number; memoryMb: Record<string, number> }> {
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

export const describeOutcome = ({
  offered,
  ready,
  waiting,
  refused,
  wrong,
  readyMs,
  refusedMs,
}: Outcome): string =>
  [
    `${offered} offered`,
    `${ready} ready (p50 ${readyMs.p50} ms, p99 ${readyMs.p99} ms)`,
    `${waiting} still waiting`,
    `${refused} refused with 429 (p50 ${refusedMs.p50} ms, p99 ${refusedMs.p99} ms)`,
    `${wrong.length} other`,
  ].join(", ");
