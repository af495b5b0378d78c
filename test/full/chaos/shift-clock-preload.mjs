// Loaded before a service: its wall clock is wrong by what a file says, and jumps when the file changes.
import { readFileSync } from "node:fs";

const file = process.env.CHAOS_CLOCK_FILE;
const TrueDate = Date;
let shiftMs = 0;

function look() {
  try {
    shiftMs = Number(readFileSync(file, "utf8")) || 0;
  } catch {
    // Not written yet, or gone with the run's folder: the clock is right.
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
  // Called without `new`, Date answers a text; a class can't, so the call goes through here.
  globalThis.Date = new Proxy(ShiftedDate, {
    apply: () => new ShiftedDate().toString(),
  });
}
