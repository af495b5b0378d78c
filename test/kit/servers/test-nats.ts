// A NATS server as tests see it, wherever it runs.

export interface NatsOptions {
  /** Where its data is; a temporary directory, gone at the end, if not given. */
  readonly dir?: string;
  readonly port?: number;
  readonly syncInterval?: string;
}

export interface TestNats {
  readonly url: string;
  readonly port: number;
  readonly monitorUrl: string;
  readonly pid: number;
  readonly dir: string;
  /** Copies of each stream that it can keep; 1 when nothing is said. */
  readonly replicas?: number;
  /** Ends it and leaves nothing; may be called twice. */
  stop(): Promise<void>;
  kill9(): Promise<void>;
  /** Ends it, if it still runs, and starts it on the same port and data. */
  restart(): Promise<void>;
}
