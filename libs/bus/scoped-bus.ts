// A bus for one part of a process, which can be cut off from it at any moment.
import type { Ack, Bus, Core, KeyValue, Stop, Streams } from "./bus.ts";
import { overrideBus } from "./override-bus.ts";

export interface ScopedBus {
  readonly bus: Bus;
  /**
   * Cuts the part off, as the death of its process would. Its consumers, watches and subscriptions stop, and messages
   * that it handles are redelivered. No call returns any more, so code that still runs does nothing further.
   */
  close(): void;
}

export interface Enter {
  /** Runs a handler whose errors the bus handles. */
  run<R>(work: () => R): R;
  /** Runs a handler whose errors nobody handles. */
  runGuarded(work: () => void): void;
}

export function scopedBus(bus: Bus, enter: Enter): ScopedBus {
  const scope = new Scope();
  const cut = overrideBus(bus, {
    streams: consumingStreams(bus, scope, enter),
    kv: consumingKeyValue(bus, scope, enter),
    core: subscribingCore(bus, scope, enter),
  });
  return {
    bus: {
      streams: scope.guardAll(cut.streams),
      kv: scope.guardAll(cut.kv),
      core: scope.guardAll(cut.core),
      admin: scope.guardAll(cut.admin),
      isConnected: () => !scope.isClosed && bus.isConnected(),
      // The connection belongs to the process.
      close: async () => scope.close(),
    },
    close: () => scope.close(),
  };
}

function consumingStreams(bus: Bus, scope: Scope, enter: Enter): Pick<Streams, "consume"> {
  return {
    consume: (channel, options, handle) =>
      scope.keep(
        bus.streams.consume(channel, options, (message, delivery) =>
          scope.unlessClosed(() => enter.run(() => handle(message, delivery)), nak),
        ),
      ),
  };
}

function consumingKeyValue(bus: Bus, scope: Scope, enter: Enter): Pick<KeyValue, "consume" | "watch"> {
  return {
    consume: (bucket, options, handle) =>
      scope.keep(
        bus.kv.consume(bucket, options, (change, delivery) =>
          scope.unlessClosed(() => enter.run(() => handle(change, delivery)), nak),
        ),
      ),
    watch: (bucket, handle) =>
      scope.keep(
        bus.kv.watch(bucket, (change) => {
          if (!scope.isClosed) enter.runGuarded(() => handle(change));
        }),
      ),
  };
}

function subscribingCore(bus: Bus, scope: Scope, enter: Enter): Pick<Core, "subscribe" | "serve"> {
  return {
    subscribe: (topic, handle) =>
      scope.keep(
        bus.core.subscribe(topic, (message) => {
          if (!scope.isClosed) enter.run(() => handle(message));
        }),
      ),
    serve: (command, host, respond, options) =>
      scope.keep(
        bus.core.serve(
          command,
          host,
          (request) => scope.unlessClosed(() => enter.run(() => respond(request)), refuse),
          options,
        ),
      ),
  };
}

const nak = (): Ack => "nak";

/** The caller learns at once what a time-out would tell it later: nobody knows whether the request was executed. */
const refuse = (): never => {
  throw new Error("the role that executed the request has stopped");
};

/** The subscriptions of one part, and the work that it has in progress. */
class Scope {
  readonly #stops = new Set<Stop>();
  readonly #inProgress = new Set<() => void>();
  #isClosed = false;

  get isClosed(): boolean {
    return this.#isClosed;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const leave of [...this.#inProgress]) leave();
    for (const stop of [...this.#stops]) void stop().catch(() => {});
  }

  /** Remembers a subscription until it is stopped. */
  async keep(opening: Promise<Stop>): Promise<Stop> {
    const stopOpened = await opening;
    const stop = async () => {
      this.#stops.delete(stop);
      await stopOpened();
    };
    if (this.#isClosed) void stopOpened().catch(() => {});
    else this.#stops.add(stop);
    return stop;
  }

  /** @param atClose answers in place of work that is in progress when the scope closes */
  unlessClosed<R>(work: () => Promise<R>, atClose: () => R): Promise<R> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        try {
          resolve(atClose());
        } catch (error) {
          reject(error as Error);
        }
      };
      if (this.#isClosed) return leave();
      this.#inProgress.add(leave);
      work()
        .then(resolve, reject)
        .finally(() => this.#inProgress.delete(leave));
    });
  }

  /** Calls and answers pass until the scope is closed. */
  guardAll<F extends object>(facet: F): F {
    return new Proxy(facet, {
      get: (target, name) => {
        const value = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          if (this.#isClosed) return never();
          const answer: unknown = value.apply(target, args);
          return answer instanceof Promise ? this.#untilClosed(answer) : answer;
        };
      },
    });
  }

  #untilClosed<R>(answer: Promise<R>): Promise<R> {
    return new Promise((resolve, reject) => {
      answer.then(
        (value) => {
          if (!this.#isClosed) resolve(value);
        },
        (error: unknown) => {
          if (!this.#isClosed) reject(error as Error);
        },
      );
    });
  }
}

const never = (): Promise<never> => new Promise(() => {});
