// The list of agents. It is updated regularly, because a page is often open before the first agent is warm.

const EVERY_MS = 3000;

/**
 * Keeps the list up to date while the page is open. The user's choice is kept.
 *
 * @param isIdle returns whether the list may change now.
 * @param showProblem shows what prevents every conversation; "" when nothing does.
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
      const states = Object.entries(health.profiles).map(([name, { status, error, reason }]) => [
        name,
        status,
        error ?? reason,
      ]);
      const seen = JSON.stringify([states, wanted]);
      // Each change closes an open list.
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
  const options = Object.entries(profiles).map(([name, { status, error, reason }]) => {
    const option = new Option(status === "running" ? name : `${name} (${status})`, name);
    option.disabled = status !== "running" && status !== "unknown";
    option.title = error ?? reason ?? "";
    option.selected = name === wanted;
    return option;
  });
  select.replaceChildren(...(options.length > 0 ? options : [new Option("no agent is running", "")]));
  select.disabled = options.length === 0;
}

function problemOf({ services, profiles }) {
  if (services.livekit.status !== "running") return `LiveKit: ${services.livekit.reason}`;
  return Object.keys(profiles).length === 0 ? "No agent-host is running yet." : "";
}
