// A start that failed for a reason that a person can set right; told in a sentence, without a stack trace.
export class StartError extends Error {
  override readonly name = "StartError";
}
