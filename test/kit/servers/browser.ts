// Chromium with a microphone that plays a WAV file, and a measure of what the page plays.
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { type MicrophoneOptions, TONES_HZ, writeMicrophoneFile } from "../fixtures/speech.ts";

export interface BrowserOptions {
  /** The sentence that the microphone repeats, with the silence around it. Without one the microphone is silent. */
  readonly speech?: MicrophoneOptions & { readonly text: string };
  /** Whether the browser allows pages to use the microphone. */
  readonly microphone?: "allowed" | "refused";
}

/** The sound of a page, as ears.js measures it, in steps since `startedAt` (Date.now()). Loudness is from 0 to 1. */
interface Heard {
  readonly startedAt: number;
  readonly stepMs: number;
  readonly levels: number[];
  /** The tone of each step in Hz, one of TONES_HZ; 0 for none. */
  readonly tones: number[];
}

export interface TestBrowser {
  readonly page: Page;
  /** The loudness of everything that the page's audio elements have played. */
  heard(): Promise<Heard>;
  /** Errors on the page's console, and uncaught errors. */
  readonly complaints: readonly string[];
  close(): Promise<void>;
}

/** Opens a browser with an empty profile and one page. */
export async function openBrowser(options: BrowserOptions = {}): Promise<TestBrowser> {
  const dir = await mkdtemp(join(tmpdir(), "greenroom-browser-"));
  const remove = () => rm(dir, { recursive: true, force: true, maxRetries: 5 });
  let context: BrowserContext | undefined;
  try {
    const file = join(dir, "microphone.wav");
    if (options.speech !== undefined) await writeMicrophoneFile(file, options.speech.text, options.speech);
    context = await chromium.launchPersistentContext(join(dir, "profile"), {
      executablePath: findChromium(),
      headless: true,
      args: argumentsFor(options, file),
      viewport: { width: 1100, height: 800 },
    });
    const page = context.pages()[0] ?? (await context.newPage());
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    await page.addInitScript({ content: `globalThis.tonesHz = ${JSON.stringify(TONES_HZ)};` });
    await page.addInitScript({ path: fileURLToPath(new URL("ears.js", import.meta.url)) });
    const opened = context;
    return {
      page,
      complaints,
      heard: () => page.evaluate(() => (globalThis as unknown as { heard: Heard }).heard),
      async close() {
        await opened.close();
        await remove();
      },
    };
  } catch (error) {
    await context?.close();
    await remove();
    throw error;
  }
}

function argumentsFor({ speech, microphone = "allowed" }: BrowserOptions, file: string): string[] {
  return [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    // With "deny" the switch refuses every permission request.
    microphone === "allowed" ? "--use-fake-ui-for-media-stream" : "--use-fake-ui-for-media-stream=deny",
    ...(speech === undefined ? [] : [`--use-file-for-fake-audio-capture=${file}`]),
  ];
}

/** @throws Error when Chromium is not installed, with what to do */
function findChromium(): string {
  const named = process.env.GREENROOM_CHROMIUM;
  if (named !== undefined) return named;
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const name of ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"]) {
      const file = join(folder, name);
      try {
        accessSync(file, constants.X_OK);
        return file;
      } catch {
        // Not here.
      }
    }
  }
  throw new Error(
    "Chromium is not installed. Run apt-get install chromium, or set GREENROOM_CHROMIUM to its path.",
  );
}
