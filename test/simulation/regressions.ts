// Seeds that once showed a bug, and are run always. A seed's world changes when scenario.ts does; then find others.

export const regressions: readonly { readonly seed: number; readonly found: string }[] = [
  { seed: 48, found: "a repeated request was accepted with other words than the stored one has" },
  { seed: 302, found: "a repeated request was accepted while the first was being stored" },
  { seed: 121, found: "sessions of a host that was restarted under its own name were lost for ever" },
  { seed: 134, found: "sessions of a host that was restarted under its own name were lost for ever" },
  { seed: 380, found: "a dead host came back into every view by an announcement that was late" },
  { seed: 1565, found: "a dead host came back into every view by an announcement that was late" },
  { seed: 682, found: "a late assign of an old attempt threw out the agent of the newer one" },
  { seed: 1268, found: "a late assign of an old attempt threw out the agent of the newer one" },
  { seed: 8552, found: "a host that died before its first record was saved stayed registered" },
  { seed: 165, found: "a janitor that was cut off gave up a ready agent which it took for one on its way" },
  { seed: 73, found: "a janitor that was cut off gave up a ready agent which it took for one on its way" },
  { seed: 11644, found: "an old attempt's checkpoint came back after its session was over" },
  { seed: 40012, found: "a launch that two releases ended at once was ended twice" },
  { seed: 40141, found: "an agent that came between two attempts stayed beside the next one" },
  {
    seed: 42738,
    found: "an agent whose dispatch LiveKit had forgotten stayed while the next one was launched",
  },
  { seed: 60107, found: "a launch that had been refused was ended once more, and written over" },
  { seed: 60114, found: "key figures rested nine times as long as they had waited for the store" },
  {
    seed: 60148,
    found: "an instance took its own launch, whose saving was answered too late, for another's",
  },
  { seed: 61064, found: "an instance whose heartbeats were lost was taken for dead as it launched" },
  { seed: 61528, found: "an older call record was stored late, over the newer one" },
  { seed: 62238, found: "an intent whose saving was answered too late was kept by nobody" },
  { seed: 17333, found: "a janitor that had been stopped itself took a host for hanging all that time" },
];
