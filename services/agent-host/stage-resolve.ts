// Where an agent file's imports are found: LiveKit's packages always in our copy, the rest first in its own.
import { register } from "node:module";

/**
 * Two copies of @livekit/agents in one process don't know each other's job contexts, so an agents folder with
 * packages of its own must still get ours; and a folder without any gets all of ours.
 */
export function resolveFromHere(): void {
  const hooks = `
    const home = ${JSON.stringify(import.meta.url)};
    const shared = /^(@livekit\\/(agents|rtc-node)|greenroom\\/agent)$/;
    export async function resolve(specifier, context, next) {
      if (shared.test(specifier)) return next(specifier, { ...context, parentURL: home });
      try {
        return await next(specifier, context);
      } catch (error) {
        if (error.code !== "ERR_MODULE_NOT_FOUND" || /^[./]|^[a-z]+:/.test(specifier)) throw error;
        return next(specifier, { ...context, parentURL: home }).catch(() => { throw error; });
      }
    }`;
  register(`data:text/javascript,${encodeURIComponent(hooks)}`);
}
