// Splits a request body into JSON texts while it arrives: the elements of an array, or the lines of NDJSON.

/** One element, or the fault at its position. */
export type Element = { readonly text: string } | { readonly fault: string };

type Mode = "unknown" | "array" | "lines" | "done";

/**
 * Accepts the parts of a body in order, and returns the elements that are complete. Holds at most one element, and only
 * the length of one that is too large. A fault of one element does not affect the others, as long as their beginnings
 * can be recognized.
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
  #isStrayReported = false;

  /** @param maxLength the maximum length of an element, in characters */
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

  /** Call this at the end of the body. */
  end(): Element[] {
    if (this.#mode === "lines") return this.#takeElement();
    if (this.#mode === "array") return [{ fault: "The array has no end: the request body is incomplete." }];
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
        if (/\s/.test(char) || this.#isStrayReported) continue;
        this.#isStrayReported = true;
        found.push({ fault: "Unexpected text after the end of the array." });
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
      return [{ fault: `The task has ${length} characters. The maximum is ${this.#maxLength}.` }];
    return text === "" ? [] : [{ text }];
  }
}
