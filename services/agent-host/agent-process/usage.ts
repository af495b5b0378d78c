// Adds up the metrics of the AgentSessions of one job, and reports them to the host at intervals.
import { type llm, type metrics, voice } from "@livekit/agents";
import type { AgentUsage, ModelUsage, ToolUse } from "../../../libs/contracts/calls/call.ts";
import { HistogramBuilder } from "../../../libs/domain/call/histogram.ts";
import { sumTools, sumUsage } from "../../../libs/domain/call/usage.ts";
import type { ProcessToHost } from "../pool/messages.ts";
import { currentOwner } from "./log.ts";

interface Deps {
  readonly slot: string;
  readonly send: (message: ProcessToHost) => void;
}

/** The most that is lost when the process dies. */
const REPORT_MS = 5000;
const MAX_NAME_LENGTH = 128;

export class JobUsage {
  readonly #deps: Deps;
  readonly #followed = new WeakSet<voice.AgentSession>();
  readonly #response = new HistogramBuilder();
  readonly #llm = new HistogramBuilder();
  readonly #stt = new HistogramBuilder();
  readonly #tts = new HistogramBuilder();
  readonly #endOfTurn = new HistogramBuilder();
  readonly #vad = { inferences: 0, totalMs: 0 };
  readonly #counts = { userTurns: 0, agentTurns: 0, interruptions: 0, errors: 0 };
  #tools: ToolUse[] = [];
  #usage: ModelUsage[] = [];
  #sinceMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Listens to a session that is about to start. A file may start several, one after the other or at once. */
  follow(session: voice.AgentSession): void {
    if (this.#followed.has(session)) return;
    this.#followed.add(session);
    this.#sinceMs ??= performance.now();
    const { AgentSessionEventTypes: Type } = voice;
    session.on(Type.MetricsCollected, ({ metrics }) => {
      if (this.#isOwn()) this.#changed(() => this.#onMetrics(metrics));
    });
    session.on(Type.FunctionToolsExecuted, (event) => this.#changed(() => this.#onTools(event)));
    session.on(Type.ConversationItemAdded, ({ item }) => {
      if (item.type === "message") this.#changed(() => this.#onMessage(item));
    });
    session.on(Type.Error, () =>
      this.#changed(() => {
        this.#counts.errors += 1;
      }),
    );
  }

  /** Reports the final usage, once all sessions have ended. */
  finish(): void {
    if (this.#sinceMs !== undefined) this.#report();
  }

  /**
   * Whether the present metrics belong to this job. A model that all sessions of a file share reports every request to
   * every session, in the context of the job that made the request.
   */
  #isOwn(): boolean {
    const owner = currentOwner();
    return owner === undefined || owner.slot === this.#deps.slot;
  }

  #changed(change: () => void): void {
    change();
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#report(), REPORT_MS);
    this.#timer.unref();
  }

  #report(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { send, slot } = this.#deps;
    send({ type: "usage", slot, usage: this.#build() });
  }

  #build(): AgentUsage {
    const histograms = {
      response: this.#response,
      llm: this.#llm,
      stt: this.#stt,
      tts: this.#tts,
      endOfTurn: this.#endOfTurn,
    };
    const measured = Object.entries(histograms).filter(([, builder]) => !builder.isEmpty);
    return {
      ...Object.fromEntries(measured.map(([name, builder]) => [name, builder.build()])),
      ...(this.#vad.inferences === 0
        ? {}
        : { vad: { inferences: this.#vad.inferences, totalMs: Math.round(this.#vad.totalMs) } }),
      tools: this.#tools,
      usage: this.#usage,
      ...this.#counts,
    };
  }

  #onMetrics(event: metrics.AgentMetrics): void {
    switch (event.type) {
      case "llm_metrics":
        this.#llm.add(event.ttftMs);
        this.#use("llm", event, {
          inputTokens: event.promptTokens,
          inputCachedTokens: event.promptCachedTokens,
          outputTokens: event.completionTokens,
          requests: 1,
        });
        return;
      case "realtime_model_metrics":
        this.#llm.add(event.ttftMs);
        this.#use("llm", event, {
          inputTokens: event.inputTokens,
          inputCachedTokens: event.inputTokenDetails.cachedTokens,
          inputAudioTokens: event.inputTokenDetails.audioTokens,
          outputTokens: event.outputTokens,
          outputAudioTokens: event.outputTokenDetails.audioTokens,
          requests: 1,
        });
        return;
      case "tts_metrics":
        this.#tts.add(event.ttfbMs);
        this.#use("tts", event, {
          inputTokens: event.inputTokens,
          outputTokens: event.outputTokens,
          characters: event.charactersCount,
          audioMs: event.audioDurationMs,
          requests: 1,
        });
        return;
      case "stt_metrics":
        this.#use("stt", event, {
          inputTokens: event.inputTokens,
          outputTokens: event.outputTokens,
          audioMs: event.audioDurationMs,
        });
        return;
      case "eou_metrics":
        // 0 means that the end of the speech was not detected.
        if (event.endOfUtteranceDelayMs > 0) this.#endOfTurn.add(event.endOfUtteranceDelayMs);
        if (event.transcriptionDelayMs > 0) this.#stt.add(event.transcriptionDelayMs);
        return;
      case "vad_metrics":
        this.#vad.inferences += whole(event.inferenceCount);
        this.#vad.totalMs += whole(event.inferenceDurationTotalMs);
        return;
      case "eot_inference_metrics":
        this.#use("turn", event, { requests: event.numRequests });
        return;
      case "interruption_metrics":
        this.#use("interruption", event, { requests: event.numRequests });
    }
  }

  #use(
    kind: ModelUsage["kind"],
    { metadata }: { metadata?: metrics.MetricsMetadata | undefined },
    amounts: { [name in keyof Omit<ModelUsage, "kind" | "provider" | "model">]: number | undefined },
  ): void {
    const used = Object.entries(amounts).map(([name, amount]) => [name, whole(amount)]);
    this.#usage = sumUsage([
      ...this.#usage,
      {
        kind,
        provider: nameOf(metadata?.modelProvider),
        model: nameOf(metadata?.modelName),
        ...Object.fromEntries(used),
      },
    ]);
  }

  /** Durations come from the times of the call and its output, limited to the age of the job in case the clock was set. */
  #onTools({ functionCalls, functionCallOutputs }: voice.FunctionToolsExecutedEvent): void {
    const longestMs = performance.now() - (this.#sinceMs ?? 0);
    const uses = functionCalls.map((call, i): ToolUse => {
      const output = functionCallOutputs[i];
      const tookMs = (output?.createdAt ?? call.createdAt) - call.createdAt;
      const ms = whole(Math.min(Math.max(0, tookMs), longestMs));
      return {
        name: nameOf(call.name),
        calls: 1,
        errors: output?.isError === true ? 1 : 0,
        totalMs: ms,
        maxMs: ms,
      };
    });
    this.#tools = sumTools([...this.#tools, ...uses]);
  }

  #onMessage({ role, interrupted, metrics }: llm.ChatMessage): void {
    if (role === "user") this.#counts.userTurns += 1;
    if (role !== "assistant") return;
    this.#counts.agentTurns += 1;
    if (interrupted) this.#counts.interruptions += 1;
    if (metrics.e2eLatency !== undefined) this.#response.add(metrics.e2eLatency * 1000);
  }
}

/** Plugins may report any number. Whole amounts add up to the same in any order. */
const whole = (amount: number | undefined): number =>
  amount !== undefined && Number.isFinite(amount) && amount > 0 ? Math.round(amount) : 0;

const nameOf = (name: string | undefined): string => (name ?? "").slice(0, MAX_NAME_LENGTH);
