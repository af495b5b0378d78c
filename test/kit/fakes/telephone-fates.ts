// The outcomes of the calls of a simulated VAPI.

/** VAPI's end reasons, except `answered`. Half of the calls are answered. */
export const telephoneFates = [
  "answered",
  "answered",
  "answered",
  "customer-busy",
  "customer-did-not-answer",
  "voicemail",
] as const;
