// The interface of the image in tests, which runs services with or without a Docker engine.

export interface Container {
  /** @param words the command, for example `gateway` */
  run(words: readonly string[], env: Readonly<Record<string, string>>): Promise<Contained>;
  /** Ends and removes everything. */
  remove(): Promise<void>;
}

export interface Contained {
  /** Runs the image's own health check. */
  isHealthy(): Promise<boolean>;
  /** Sends SIGTERM, like `docker stop`, but never kills. */
  terminate(): Promise<void>;
  /** Waits for the end and returns the exit code. */
  ended(): Promise<number>;
  text(): Promise<string>;
}
