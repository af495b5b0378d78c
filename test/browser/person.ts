// A person on the page at `/`, who talks, sees and hears through a real browser.

import { envelope, findIn, type Speech } from "../kit/fixtures/speech.ts";
import { type BrowserOptions, openBrowser, type TestBrowser } from "../kit/servers/browser.ts";
import type { Json, Stack } from "../kit/stack/stack.ts";
import { until } from "../kit/until.ts";
import { endOf, PATIENCE_MS } from "./look.ts";

/** The minimum likeness of sent speech after Opus and WebRTC; other speech has about 0.3. */
const SAME_SPEECH = 0.7;
/** The minimum share of a speech with a tone. On a busy machine, some steps are lost. */
const HEARD_SHARE = 0.6;
/** Fewer steps with a tone may be an overtone of the speech, which a late timer repeats. */
const TONE_STEPS = 20;

export class Person {
  readonly browser: TestBrowser;
  readonly #stack: Stack;

  static async arrive(stack: Stack, options: BrowserOptions = {}): Promise<Person> {
    const browser = await openBrowser(options);
    try {
      await browser.page.goto(stack.url);
    } catch (error) {
      await browser.close();
      throw error;
    }
    return new Person(stack, browser);
  }

  private constructor(stack: Stack, browser: TestBrowser) {
    this.#stack = stack;
    this.browser = browser;
    browser.page.setDefaultTimeout(PATIENCE_MS);
  }

  /** Waits until the page offers a profile, and selects it. */
  async choose(profile: string): Promise<void> {
    const { page } = this.browser;
    await page.locator(`#profile option[value="${profile}"]:enabled`).waitFor({ state: "attached" });
    await page.selectOption("#profile", profile);
  }

  /** Presses Talk and waits until the page shows "ready". @returns the session's id */
  async talk(): Promise<string> {
    await this.browser.page.click("#talk");
    await this.sees("#state", "ready");
    return await this.text("#session-id");
  }

  /** Waits until an element shows exactly this text. */
  async sees(selector: string, text: string): Promise<void> {
    let seen = "";
    await until(
      async () => {
        seen = await this.text(selector);
        return seen === text;
      },
      {
        timeoutMs: PATIENCE_MS,
        everyMs: 50,
        what: () =>
          `${selector} shows "${text}"; the text is "${seen}", and the page reports: ${this.browser.complaints}`,
      },
    );
  }

  text = async (selector: string): Promise<string> =>
    ((await this.browser.page.locator(selector).textContent()) ?? "").trim();

  /** The transcript in the form "you: …" and "agent: …". */
  transcript = async (): Promise<string[]> => {
    const lines = await this.browser.page.locator("#transcript li").all();
    return await Promise.all(
      lines.map(async (line) => {
        const [who, words] = await Promise.all([
          line.getAttribute("data-who"),
          line.locator("span").textContent(),
        ]);
        return `${who}: ${words}`;
      }),
    );
  };

  /** The states in the table of times. */
  states = (): Promise<string[]> => this.browser.page.locator("#times tr td:first-child").allTextContents();

  /**
   * Waits until the page has played this speech.
   *
   * @param after sound before this time (Date.now()) is ignored
   * @returns the start of the speech, in ms of Date.now()
   */
  async hears(speech: Speech, after: number): Promise<number> {
    let report = "";
    return await until(
      async () => {
        const { levels, tones, startedAt, stepMs } = await this.browser.heard();
        const skipped = Math.max(0, Math.floor((after - startedAt) / stepMs));
        const wanted = envelope(speech, stepMs);
        const timeOf = (at: number) => startedAt + (skipped + at) * stepMs;
        if (speech.toneHz === undefined) {
          const best = findIn(levels.slice(skipped), wanted);
          report = `the best likeness was ${best.likeness.toFixed(2)}`;
          return best.likeness > SAME_SPEECH ? timeOf(best.at) : undefined;
        }
        const since = tones.slice(skipped);
        const steps = since.filter((tone) => tone === speech.toneHz).length;
        report = `${steps} of ${wanted.length} steps of ${stepMs} ms; the tones were ${[...new Set(since)]} Hz`;
        return steps > HEARD_SHARE * wanted.length ? timeOf(since.indexOf(speech.toneHz)) : undefined;
      },
      { timeoutMs: PATIENCE_MS, everyMs: 250, what: () => `"${speech.text}" is heard: ${report}` },
    );
  }

  /** The tones that the page has played, in Hz and in the order of their first appearance. */
  async tonesHz(): Promise<number[]> {
    const { tones } = await this.browser.heard();
    const count = (hz: number) => tones.filter((tone) => tone === hz).length;
    return [...new Set(tones)].filter((hz) => hz !== 0 && count(hz) > TONE_STEPS);
  }

  /** Presses Stop and waits until the API and the page show "ended". @returns the session */
  async stop(sessionId: string): Promise<Json> {
    await this.browser.page.click("#stop");
    const ended = await endOf(this.#stack, sessionId);
    await this.sees("#state", "ended");
    return ended;
  }

  leave = (): Promise<void> => this.browser.close();
}
