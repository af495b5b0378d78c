// Cuts a body into the JSON texts in it as it arrives: the elements of an array, or the lines of NDJSON.

/** One element, or why there is none in its place. */
export type Element = { readonly text: string } | { readonly fault: string };

type Mode = "unknown" | "array" | "lines" | "done";

/**
 * Takes parts of a body in their order and gives the elements that are whole by then. It never holds more than one
 * element, and of one that is too large only its length. What is wrong with one doesn't harm the others, as far as
 * it can be told where they begin.
 */
export class JsonElements {
  readonly #maxLength: number;
  #mode: Mode = "unknown";
  #text = "";
  #length = 0;
  #depth = 0;
  #inString = false;
  #isEscaped = false;
  #inElement = false;
  #isStrayTold = false;

  /** @param maxLength of one element, in characters */
  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  push(part: string): Element[] {
    const found: Element[] = [];
    let at = 0;
    if (this.#mode === "unknown") {
      while (at < part.length && /[\s\uFEFF]/.test(part[at] as string)) at += 1;
      if (at === part.length) return found;
      this.#mode = part[at] === "[" ? "array" : "lines";
      if (this.#mode === "array") at += 1;
    }
    if (this.#mode === "lines") this.#takeLines(part.slice(at), found);
    else this.#takeArray(part, at, found);
    return found;
  }

  /** To be called when the body is over. */
  end(): Element[] {
    if (this.#mode === "lines") return this.#takeElement();
    if (this.#mode === "array") return [{ fault: "The array has no end: the body was cut off." }];
    return [];
  }

  #takeLines(part: string, found: Element[]): void {
    let from = 0;
    for (;;) {
      const end = part.indexOf("\n", from);
      this.#add(part.slice(from, end < 0 ? part.length : end));
      if (end < 0) return;
      found.push(...this.#takeElement());
      from = end + 1;
    }
  }

  #takeArray(part: string, begin: number, found: Element[]): void {
    let from = begin;
    for (let at = begin; at < part.length; at++) {
      const char = part[at] as string;
      if (this.#mode === "done") {
        if (/\s/.test(char) || this.#isStrayTold) continue;
        this.#isStrayTold = true;
        found.push({ fault: "There is more after the end of the array." });
      } else if (this.#inString) {
        if (this.#isEscaped) this.#isEscaped = false;
        else if (char === "\\") this.#isEscaped = true;
        else if (char === '"') this.#inString = false;
      } else if (this.#depth === 0 && (char === "," || char === "]")) {
        if (this.#inElement) this.#add(part.slice(from, at));
        found.push(...this.#takeElement());
        this.#inElement = false;
        from = at + 1;
        if (char === "]") this.#mode = "done";
      } else {
        if (!this.#inElement && !/\s/.test(char)) {
          this.#inElement = true;
          from = at;
        }
        if (char === '"') this.#inString = true;
        else if (char === "{" || char === "[") this.#depth += 1;
        else if (char === "}" || char === "]") this.#depth -= 1;
      }
    }
    if (this.#inElement && this.#mode === "array") this.#add(part.slice(from));
  }

  #add(text: string): void {
    this.#length += text.length;
    this.#text = this.#length > this.#maxLength ? "" : this.#text + text;
  }

  #takeElement(): Element[] {
    const text = this.#text.trim();
    const length = this.#length;
    this.#text = "";
    this.#length = 0;
    if (length > this.#maxLength)
      return [{ fault: `It has ${length} characters; ${this.#maxLength} at most.` }];
    return text === "" ? [] : [{ text }];
  }
}
