// Takes tokens out of texts that others will read.

/** Three parts of base64url, of which the first begins with `{"`. */
const TOKEN = /\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]{5,}/g;

/** The same text, without the tokens in it: LiveKit's clients put the whole one into the error that refuses it. */
export const redactTokens = (text: string): string =>
  text.includes("eyJ") ? text.replace(TOKEN, "(a token)") : text;
