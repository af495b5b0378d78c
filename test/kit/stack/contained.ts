// What a test does with the image: runs its services, by an engine or without one.

export interface Container {
  /** @param words the command, as `gateway` */
  run(words: readonly string[], env: Readonly<Record<string, string>>): Promise<Contained>;
  /** Ends and removes everything. */
  remove(): Promise<void>;
}

export interface Contained {
  /** What the image's own health check says now. */
  isHealthy(): Promise<boolean>;
  /** As `docker stop`, without the kill. */
  terminate(): Promise<void>;
  /** @returns its exit code, once it has ended */
  ended(): Promise<number>;
  text(): Promise<string>;
}
