// Installs a server from its official release, verified by the published checksums.
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { messageOf } from "../../libs/contracts/errors.ts";
import { type BinarySpec, goPlatform } from "./binary-specs.ts";
import { installInto } from "./install-into.ts";
import { runProgram } from "./run-program.ts";

export interface DownloadOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly report: (line: string) => void;
  /**
   * Timeouts for the answer and for further data, in ms. Short, so that a machine without access soon tries the next
   * source.
   */
  readonly answerMs?: number;
  readonly stallMs?: number;
}

const MIB = 1024 * 1024;
const REPORT_EVERY_MS = 2000;

/**
 * Downloads, verifies and unpacks a release into `target`. GREENROOM_RELEASES_URL replaces https://github.com by a
 * mirror with the same paths. GREENROOM_NO_DOWNLOAD=true disables downloads.
 *
 * @throws Error with the reason; `target` is then unchanged
 */
export async function downloadRelease(
  spec: BinarySpec,
  target: string,
  options: DownloadOptions,
): Promise<void> {
  const { env, report } = options;
  if (env.GREENROOM_NO_DOWNLOAD === "true" || env.GREENROOM_NO_DOWNLOAD === "1") {
    throw new Error("skipped because of GREENROOM_NO_DOWNLOAD");
  }
  const { os, arch } = goPlatform();
  const archive = spec.archive(os, arch);
  if (archive === undefined) throw new Error(`no release for ${os} on ${arch}`);

  const base = (env.GREENROOM_RELEASES_URL || "https://github.com").replace(/\/+$/, "");
  const folder = `${base}/${spec.repository}/releases/download/v${spec.version}`;
  report(`${spec.name} ${spec.version}: downloading ${folder}/${archive}`);
  const wanted = checksumOf(archive, await readText(`${folder}/${spec.checksumFile}`, options));
  if (wanted === undefined) throw new Error(`${folder}/${spec.checksumFile} does not contain ${archive}`);

  await installInto(target, async (directory) => {
    const file = join(directory, archive);
    const got = await saveFile(`${folder}/${archive}`, file, spec.name, options);
    if (got !== wanted) {
      throw new Error(`${archive} has SHA-256 ${got}, but ${spec.checksumFile} contains ${wanted}; rejected`);
    }
    const unpacked = await runProgram("tar", ["-xf", file, "-C", directory], { timeoutMs: 120_000 });
    if (unpacked.exitCode !== 0)
      throw new Error(`tar failed to unpack ${archive}: ${unpacked.stderr.trim()}`);
    return await findProgram(directory, spec.name, archive);
  });
}

/** The checksum of a file in the output of `sha256sum`: `<hex>  <file>`, with a star before binary files. */
function checksumOf(file: string, listing: string): string | undefined {
  for (const line of listing.split("\n")) {
    const [sum, name] = line.trim().split(/\s+/);
    if (name?.replace(/^\*/, "") === file && /^[0-9a-f]{64}$/i.test(sum ?? "")) return sum!.toLowerCase();
  }
  return undefined;
}

async function readText(url: string, options: DownloadOptions): Promise<string> {
  const chunks: Uint8Array[] = [];
  await readUrl(url, options, async (body) => {
    for await (const chunk of body) chunks.push(chunk);
  });
  return Buffer.concat(chunks).toString("utf8");
}

/** @returns the file's SHA-256 */
async function saveFile(url: string, file: string, name: string, options: DownloadOptions): Promise<string> {
  const hash = createHash("sha256");
  await readUrl(url, options, async (body, totalBytes) => {
    let bytes = 0;
    let shownAt = performance.now();
    const total = totalBytes === undefined ? "" : ` of ${(totalBytes / MIB).toFixed(1)}`;
    async function* counted() {
      for await (const chunk of body) {
        hash.update(chunk);
        bytes += chunk.length;
        if (performance.now() - shownAt > REPORT_EVERY_MS) {
          shownAt = performance.now();
          options.report(`${name}: ${(bytes / MIB).toFixed(1)}${total} MB`);
        }
        yield chunk;
      }
    }
    await pipeline(counted, createWriteStream(file));
  });
  return hash.digest("hex");
}

/** Reads a URL. Fails if the answer or further data do not arrive in time. */
async function readUrl(
  url: string,
  options: DownloadOptions,
  read: (body: AsyncIterable<Uint8Array>, totalBytes: number | undefined) => Promise<void>,
): Promise<void> {
  const { answerMs = 5000, stallMs = 15_000 } = options;
  const abort = new AbortController();
  const giveUp = (reason: string) => () => abort.abort(new Error(reason));
  let timer = setTimeout(giveUp(`no answer within ${answerMs} ms`), answerMs);
  try {
    const response = await fetch(url, { signal: abort.signal });
    if (!response.ok || response.body === null) throw new Error(`HTTP ${response.status}`);
    clearTimeout(timer);
    timer = setTimeout(giveUp(`no data for ${stallMs} ms`), stallMs);
    const body = refreshing(response.body as unknown as AsyncIterable<Uint8Array>, timer);
    const length = Number(response.headers.get("content-length"));
    await read(body, length > 0 ? length : undefined);
  } catch (error) {
    const reason = abort.signal.aborted ? abort.signal.reason : causeOf(error);
    throw new Error(`${url}: ${messageOf(reason)}`, { cause: error });
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}

async function* refreshing(body: AsyncIterable<Uint8Array>, timer: NodeJS.Timeout) {
  for await (const chunk of body) {
    timer.refresh();
    yield chunk;
  }
}

/** The message `fetch failed` hides the actual error in its cause. */
const causeOf = (error: unknown): unknown =>
  error instanceof Error && error.cause instanceof Error ? error.cause : error;

/** The program's path in the unpacked archive. */
async function findProgram(directory: string, name: string, archive: string): Promise<string> {
  const wanted = process.platform === "win32" ? `${name}.exe` : name;
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const entry = entries.find((file) => file.isFile() && file.name === wanted);
  if (entry === undefined) throw new Error(`${archive} contains no ${wanted}`);
  return join(entry.parentPath, entry.name);
}
