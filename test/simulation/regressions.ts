// Seeds that once exposed a bug. A change of scenario.ts changes their worlds; then find other seeds.

export const regressions: readonly { readonly seed: number; readonly found: string }[] = [
  { seed: 48, found: "a repeated request was accepted although its body differed from the stored one" },
  { seed: 302, found: "a repeated request was accepted while the first was being stored" },
  { seed: 121, found: "sessions of a host that was restarted under its own name were never recovered" },
  { seed: 134, found: "sessions of a host that was restarted under its own name were never recovered" },
  { seed: 380, found: "a late host announcement brought a dead host back into every view" },
  { seed: 1565, found: "a late host announcement brought a dead host back into every view" },
  { seed: 682, found: "a late assign of an old attempt removed the agent of the newer one" },
  { seed: 1268, found: "a late assign of an old attempt removed the agent of the newer one" },
  { seed: 8552, found: "a host that died before its first record was saved stayed registered" },
  { seed: 165, found: "a janitor that was cut off gave up a ready agent that it considered not yet joined" },
  { seed: 73, found: "a janitor that was cut off gave up a ready agent that it considered not yet joined" },
  { seed: 11644, found: "an old attempt's checkpoint reappeared after its session had ended" },
  { seed: 16942, found: "a host repeated a write without a pause while another write was in flight" },
  { seed: 40012, found: "two concurrent releases ended a launch twice" },
  { seed: 40141, found: "an agent that joined between two attempts stayed beside the next one" },
  {
    seed: 42738,
    found: "an agent whose dispatch LiveKit had lost stayed while the next one was launched",
  },
  { seed: 41278, found: "a launch was recorded as ready with an agent that had never been ready" },
  { seed: 60107, found: "a refused launch was ended again and overwritten" },
  { seed: 60114, found: "the KPI builder paused nine times as long as it had waited for the store" },
  {
    seed: 60148,
    found: "an instance took its own launch, whose write was answered too late, for another instance's",
  },
  { seed: 61064, found: "an instance whose heartbeats were lost was considered dead while it launched" },
  { seed: 61528, found: "an older call record was stored late and replaced the newer one" },
  { seed: 62238, found: "an intent whose write was answered too late had no owner" },
  { seed: 17333, found: "a janitor that had been paused itself considered a host hung for the whole pause" },
  {
    seed: 38_291,
    found: "a host that was paused while it read the store restored a deleted conversation",
  },
  { seed: 51_504, found: "the end of an earlier attempt removed the agent that served the next one" },
];
