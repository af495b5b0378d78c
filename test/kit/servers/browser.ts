// A person with a browser: Chromium with a microphone that says what a WAV file holds, and ears.
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { type MicrophoneOptions, writeMicrophoneFile } from "../fixtures/speech.ts";

export interface BrowserOptions {
  /** What the microphone says, again and again, with the silence around it. None: it is silent. */
  readonly description?: MicrophoneOptions & { readonly text: string };
  /** Whether a page that asks for the microphone gets it. */
  readonly microphone?: "allowed" | "refused";
}

/** What was heard, as ears.js in the page measures it: one loudness, from 0 to 1, for each step since `startedAt` (Date.now()). */
interface Heard {
  readonly startedAt: number;
  readonly stepMs: number;
  readonly levels: number[];
}

export interface TestBrowser {
  readonly page: Page;
  /** Everything that remote participants' audio elements have played. */
  heard(): Promise<Heard>;
  /** Messages of the page's console, and errors that nobody caught. */
  readonly complaints: readonly string[];
  close(): Promise<void>;
}

/** Opens a browser of its own, with nothing in it, and one page. */
export async function openBrowser(options: BrowserOptions = {}): Promise<TestBrowser> {
  const dir = await mkdtemp(join(tmpdir(), "greenroom-browser-"));
  const remove = () => rm(dir, { recursive: true, force: true, maxRetries: 5 });
  let context: BrowserContext | undefined;
  try {
    const file = join(dir, "microphone.wav");
    if (options.description !== undefined)
      await writeMicrophoneFile(file, options.description.text, options.description);
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

function argumentsFor({ description, microphone = "allowed" }: BrowserOptions, file: string): string[] {
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
    // The same switch with "deny" answers each question with no.
    microphone === "allowed" ? "--use-fake-ui-for-media-stream" : "--use-fake-ui-for-media-stream=deny",
    ...(description === undefined ? [] : [`--use-file-for-fake-audio-capture=${file}`]),
  ];
}

/** @throws Error when there is no Chromium, with what to do. */
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
    "There is no Chromium. Install it (apt-get install chromium), or name it in GREENROOM_CHROMIUM.",
  );
}
