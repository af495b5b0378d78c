// What the AgentSessions of one job measure themselves, added up as it comes and told to the host now and then.
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

/** What is told when the process dies can be so old at most. */
const TELL_MS = 5000;
const NAME_MAX = 128;

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

  /** Tells the last of it: no session goes on any more. */
  finish(): void {
    if (this.#sinceMs !== undefined) this.#tell();
  }

  /**
   * A model that the file keeps for all its sessions tells each of them what any of them asked it. What is told runs
   * in the context of the job that asked.
   */
  #isOwn(): boolean {
    const owner = currentOwner();
    return owner === undefined || owner.slot === this.#deps.slot;
  }

  #changed(change: () => void): void {
    change();
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#tell(), TELL_MS);
    this.#timer.unref();
  }

  #tell(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { send, slot } = this.#deps;
    send({ type: "usage", slot, usage: this.#measures() });
  }

  #measures(): AgentUsage {
    const spreads = {
      response: this.#response,
      llm: this.#llm,
      stt: this.#stt,
      tts: this.#tts,
      endOfTurn: this.#endOfTurn,
    };
    const told = Object.entries(spreads).filter(([, maker]) => !maker.isEmpty);
    return {
      ...Object.fromEntries(told.map(([name, maker]) => [name, maker.build()])),
      ...(this.#vad.inferences === 0
        ? {}
        : { vad: { inferences: this.#vad.inferences, totalMs: Math.round(this.#vad.totalMs) } }),
      tools: this.#tools,
      usage: this.#usage,
      ...this.#counts,
    };
  }

  #onMetrics(told: metrics.AgentMetrics): void {
    switch (told.type) {
      case "llm_metrics":
        this.#llm.add(told.ttftMs);
        this.#use("llm", told, {
          inputTokens: told.promptTokens,
          inputCachedTokens: told.promptCachedTokens,
          outputTokens: told.completionTokens,
          requests: 1,
        });
        return;
      case "realtime_model_metrics":
        this.#llm.add(told.ttftMs);
        this.#use("llm", told, {
          inputTokens: told.inputTokens,
          inputCachedTokens: told.inputTokenDetails.cachedTokens,
          inputAudioTokens: told.inputTokenDetails.audioTokens,
          outputTokens: told.outputTokens,
          outputAudioTokens: told.outputTokenDetails.audioTokens,
          requests: 1,
        });
        return;
      case "tts_metrics":
        this.#tts.add(told.ttfbMs);
        this.#use("tts", told, {
          inputTokens: told.inputTokens,
          outputTokens: told.outputTokens,
          characters: told.charactersCount,
          audioMs: told.audioDurationMs,
          requests: 1,
        });
        return;
      case "stt_metrics":
        this.#use("stt", told, {
          inputTokens: told.inputTokens,
          outputTokens: told.outputTokens,
          audioMs: told.audioDurationMs,
        });
        return;
      case "eou_metrics":
        // Nothing stands for: the end of the speech was not heard.
        if (told.endOfUtteranceDelayMs > 0) this.#endOfTurn.add(told.endOfUtteranceDelayMs);
        if (told.transcriptionDelayMs > 0) this.#stt.add(told.transcriptionDelayMs);
        return;
      case "vad_metrics":
        this.#vad.inferences += whole(told.inferenceCount);
        this.#vad.totalMs += whole(told.inferenceDurationTotalMs);
        return;
      case "eot_inference_metrics":
        this.#use("turn", told, { requests: told.numRequests });
        return;
      case "interruption_metrics":
        this.#use("interruption", told, { requests: told.numRequests });
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

  /** By the times that the library gives the call and its output; a clock that was set makes none longer than all. */
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

/** Plugins may tell anything; only whole amounts add up. */
const whole = (amount: number | undefined): number =>
  amount !== undefined && Number.isFinite(amount) && amount > 0 ? Math.round(amount) : 0;

const nameOf = (name: string | undefined): string => (name ?? "").slice(0, NAME_MAX);
