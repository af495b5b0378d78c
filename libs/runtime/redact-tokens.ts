// Removes tokens from texts for logs and answers.

/** Three parts in base64url; the first decodes to JSON. */
const TOKEN = /\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]{5,}/g;

/** Replaces tokens in a text. LiveKit's clients quote the whole token in the error that rejects it. */
export const redactTokens = (text: string): string =>
  text.includes("eyJ") ? text.replace(TOKEN, "(a token)") : text;
