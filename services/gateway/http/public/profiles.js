// The list of agents: it follows what runs, since a page is often opened before the first agent is warm.

const EVERY_MS = 3000;

/**
 * Keeps the list right for as long as the page lives. A choice that a person made stays.
 *
 * @param isIdle says whether the list may change now.
 * @param showProblem is told what keeps every conversation from starting; "" when nothing does.
 */
export async function followProfiles(select, { ask, isIdle, showProblem }) {
  let isChosen = false;
  let shown;
  select.addEventListener("change", () => {
    isChosen = true;
  });
  const look = async () => {
    try {
      const health = await ask("GET", "/api/health");
      if (!isIdle()) return;
      const wanted = isChosen ? select.value : health.defaultProfile;
      const states = Object.entries(health.profiles).map(([name, { status, error }]) => [
        name,
        status,
        error,
      ]);
      const seen = JSON.stringify([states, wanted]);
      // Each change shuts the list for someone who has it open.
      if (seen !== shown) showProfiles(select, health.profiles, wanted);
      shown = seen;
      showProblem(problemOf(health));
    } catch (error) {
      if (isIdle()) showProblem(error.message);
    }
  };
  await look();
  setInterval(look, EVERY_MS);
}

function showProfiles(select, profiles, wanted) {
  const options = Object.entries(profiles).map(([name, { status, error }]) => {
    const option = new Option(status === "running" ? name : `${name} (${status})`, name);
    option.disabled = status !== "running";
    option.title = error ?? "";
    option.selected = name === wanted;
    return option;
  });
  select.replaceChildren(...(options.length > 0 ? options : [new Option("no agent is up", "")]));
  select.disabled = options.length === 0;
}

function problemOf({ services, profiles }) {
  if (services.livekit.status !== "running") return `LiveKit: ${services.livekit.reason}`;
  return Object.keys(profiles).length === 0 ? "No agent-host is up yet." : "";
}
