// Keeps one record in its bucket up to date: one write at a time, and the newest value wins.
import type { Bucket } from "../contracts/buckets.ts";
import { isError } from "../contracts/errors.ts";
import { sleep } from "../runtime/clock.ts";
import { getOwn } from "./bus.ts";
import type { ServiceDeps } from "./service-deps.ts";

export interface RecordWriterOptions<T> extends ServiceDeps {
  readonly bucket: Bucket<T>;
  readonly key: string;
  /** Names the record in the log, with these fields. */
  readonly what: string;
  readonly fields?: object;
  /** The stored revision, where it is known. */
  readonly revision?: number;
  /**
   * Whether this process may still write the record. Called with what is stored when the revision is not known: before
   * the first write, and after every conflict and failure. `undefined`: there is no record, or none that can be decoded.
   */
  readonly mayWrite?: (stored: T | undefined, revision: number) => boolean | Promise<boolean>;
  /** Whether to try again after a failure; always by default. */
  readonly mayRetry?: (failingForMs: number) => boolean;
}

const RETRY_MS = 500;
/**
 * A writer that was paused for longer reads again. A record that was deleted in between looks like one that
 * never was, and the write would restore it.
 */
const TRUSTED_MS = 5000;
/** The pause after a repeated conflict. A replicated store refuses writes while another one is in flight. */
const CONFLICT_MS = 50;

export class RecordWriter<T> {
  readonly #options: RecordWriterOptions<T>;
  #next: (() => T) | undefined;
  #writing: Promise<void> | undefined;
  #revision: number | undefined;
  #isFenced = false;
  /** How many values were stored. */
  count = 0;

  constructor(options: RecordWriterOptions<T>) {
    this.#options = options;
    this.#revision = options.revision;
  }

  /** Writes a value soon, unless a newer one replaces it. `value` is called when its write begins. */
  write(value: () => T): void {
    if (this.#isFenced) return;
    this.#next = value;
    this.#writing ??= this.#writeAll();
  }

  /** Waits until every value is stored or given up. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  /** Gives up all values but the one that is being written. */
  async stop(): Promise<void> {
    this.#isFenced = true;
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    const { clock, fields, log, mayRetry = () => true, what } = this.#options;
    const beganAtMs = clock.monotonic();
    let conflicts = 0;
    while (this.#next !== undefined && !this.#isFenced) {
      const value = this.#next;
      this.#next = undefined;
      try {
        const isStored = await this.#write(value);
        conflicts = isStored ? 0 : conflicts + 1;
        if (!isStored) this.#next ??= value;
        if (conflicts > 1) await sleep(clock, CONFLICT_MS);
      } catch (error) {
        // Others may write or delete the record before the next try.
        this.#revision = undefined;
        if (isError(error, "payload_too_large") || !mayRetry(clock.monotonic() - beganAtMs)) {
          log.warn({ error, ...fields }, `failed to store ${what}`);
          continue;
        }
        log.debug({ error, ...fields, retrying: true }, `failed to store ${what}`);
        this.#next ??= value;
        await sleep(clock, RETRY_MS);
      }
    }
    this.#writing = undefined;
  }

  /** @returns false after a conflict */
  async #write(value: () => T): Promise<boolean> {
    const { bucket, bus, clock, key, mayWrite = () => true } = this.#options;
    if (this.#revision === undefined) {
      const askedAtMs = clock.monotonic();
      const stored = await getOwn(bus, bucket, key);
      this.#isFenced ||= !(await mayWrite(stored.value, stored.revision));
      if (this.#isFenced) return true;
      if (clock.monotonic() - askedAtMs > TRUSTED_MS) return false;
      this.#revision = stored.revision;
    }
    this.#revision = await bus.kv.update(bucket, value(), this.#revision);
    if (this.#revision !== undefined) this.count += 1;
    return this.#revision !== undefined;
  }
}
