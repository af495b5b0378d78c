// A failed start with a reason that the operator can fix. Its message is shown without a stack trace.
export class StartError extends Error {
  override readonly name = "StartError";
}
