// Loaded before a service. Shifts the wall clock by the offset in a file, also when the file changes.
import { readFileSync } from "node:fs";

const file = process.env.CHAOS_CLOCK_FILE;
const TrueDate = Date;
let shiftMs = 0;

function look() {
  try {
    shiftMs = Number(readFileSync(file, "utf8")) || 0;
  } catch {
    // Without the file the clock is right.
    shiftMs = 0;
  }
}

class ShiftedDate extends TrueDate {
  constructor(...args) {
    if (args.length === 0) super(TrueDate.now() + shiftMs);
    else super(...args);
  }

  static now() {
    return TrueDate.now() + shiftMs;
  }
}

if (file !== undefined) {
  look();
  setInterval(look, 250).unref();
  // Date returns a string when it is called without `new`. A class can't be called so, hence the proxy.
  globalThis.Date = new Proxy(ShiftedDate, {
    apply: () => new ShiftedDate().toString(),
  });
}
