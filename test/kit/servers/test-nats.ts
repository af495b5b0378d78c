// The interface of a NATS server in tests, a process, a container or a cluster.

export interface NatsOptions {
  /** The data directory; by default a temporary one, which is removed at the end. */
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
  /** The number of replicas that a stream can have, 1 by default. */
  readonly replicas?: number;
  /** Ends the server and removes its temporary data; may be called twice. */
  stop(): Promise<void>;
  kill9(): Promise<void>;
  /** Ends the server if it still runs, and starts it on the same port and data. */
  restart(): Promise<void>;
}
