// What becomes of the calls that a played VAPI makes.

/** In its own words but for the first; most are answered. */
export const telephoneFates = [
  "answered",
  "answered",
  "answered",
  "customer-busy",
  "customer-did-not-answer",
  "voicemail",
] as const;
