// The page: a button starts a session, joins its room with the microphone, and shows what happens.
import { createLocalAudioTrack, Room, RoomEvent, Track } from "/vendor/livekit-client.esm.mjs";
import { followProfiles } from "./profiles.js";

const element = (id) => document.getElementById(id);
const [talk, stop, profiles] = [element("talk"), element("stop"), element("profile")];

/** The current conversation, if any. */
let call;
const LOST = "The agent was lost. Another one is taking over.";
/** The latest problem that prevents every conversation. */
let problem = "";

talk.addEventListener("click", () => startCall());
stop.addEventListener("click", () => endCall("You ended the conversation."));
// Ends the session when the page closes. The browser still sends a beacon then.
addEventListener("pagehide", () => {
  if (call?.sessionId !== undefined) navigator.sendBeacon(`/api/session/${call.sessionId}/end`);
});
await followProfiles(profiles, { ask, isIdle: () => call === undefined, showProblem });

async function startCall() {
  const current = { segments: new Map() };
  call = current;
  reset();
  try {
    // The microphone comes first: if it is refused, no agent is used.
    current.microphone = await openMicrophone();
    note("Requesting an agent…");
    const request = { userName: "You", wait: 1000 };
    if (profiles.value !== "") request.profile = profiles.value;
    const started = await ask("POST", "/api/session/start", request);
    current.sessionId = started.sessionId;
    element("session-id").textContent = started.sessionId;
    showStartup(started.startupTimings);
    if (started.queue) note(`Waiting for a free agent: position ${started.queue.position}.`);
    else if (started.status === "starting") note(`The agent is starting (${started.estimatedWait}).`);
    const ready = followSession(current);
    const access = started.token ? started : await ready.then(() => askToken(current.sessionId));
    if (call !== current) return;
    await joinRoom(current, access);
  } catch (error) {
    if (call !== current) return;
    showError(error.message);
    await endCall("");
  }
}

async function endCall(reason) {
  const current = call;
  if (current === undefined) return;
  call = undefined;
  current.events?.close();
  current.microphone?.stop();
  stop.disabled = true;
  if (current.sessionId !== undefined) {
    await ask("POST", `/api/session/${current.sessionId}/end`).catch(() => {});
    await ask("GET", `/api/session/${current.sessionId}`).then(showSession, () => {});
  }
  await current.room?.disconnect();
  element("audio").replaceChildren();
  show("agent-state", "none");
  note(reason);
  talk.disabled = false;
  profiles.disabled = false;
}

async function openMicrophone() {
  if (navigator.mediaDevices === undefined) {
    throw new Error(
      "Browsers allow the microphone on https pages and on localhost only. Open the page there.",
    );
  }
  try {
    return await createLocalAudioTrack({ echoCancellation: true, noiseSuppression: true });
  } catch (error) {
    if (error.name === "NotAllowedError") {
      throw new Error(
        "Microphone access was denied. Allow it in the browser's address bar, then press Talk.",
      );
    }
    if (error.name === "NotFoundError") {
      throw new Error("No microphone found. Connect one, then press Talk.");
    }
    throw new Error(`The microphone can't be opened: ${error.message}`);
  }
}

/** Shows each change of the session. Resolves when the agent is ready, rejects when the session ends before. */
function followSession(current) {
  return new Promise((resolve, reject) => {
    current.events = new EventSource(`/api/session/${current.sessionId}/events`);
    current.events.addEventListener("state", ({ data }) => {
      const session = JSON.parse(data);
      showSession(session);
      if (session.status === "ready") resolve();
      if (session.status !== "ended") return;
      current.events.close();
      const reason = `The session has ended: ${session.endedReason.replaceAll("_", " ")}.`;
      reject(new Error(reason));
      if (call === current && current.room !== undefined) endCall(reason);
    });
  });
}

const askToken = (sessionId) => ask("POST", "/api/token", { sessionId, userName: "You" });

async function joinRoom(current, { url, token }) {
  const room = new Room({ adaptiveStream: false, dynacast: false });
  current.room = room;
  room.on(RoomEvent.TrackSubscribed, (track) => {
    if (track.kind === Track.Kind.Audio) element("audio").append(track.attach());
  });
  room.on(RoomEvent.TrackUnsubscribed, (track) => {
    for (const audio of track.detach()) audio.remove();
  });
  room.on(RoomEvent.ParticipantConnected, showAgents);
  room.on(RoomEvent.ParticipantDisconnected, showAgents);
  room.on(RoomEvent.ParticipantAttributesChanged, showAgents);
  room.on(RoomEvent.Disconnected, () => {
    if (call === current) endCall("The room was closed.");
  });
  room.registerTextStreamHandler("lk.transcription", (reader, from) =>
    showSpeech(current, reader, from.identity),
  );
  await room.connect(url, token).catch((error) => {
    throw new Error(`LiveKit at ${url} can't be reached from this browser: ${error.message}`);
  });
  if (call !== current) return room.disconnect();
  await room.startAudio().catch(() => {});
  await room.localParticipant.publishTrack(current.microphone);
  showAgents();
  note("Speak now. The agent is listening.");

  function showAgents() {
    const agent = [...room.remoteParticipants.values()].find((other) => other.isAgent);
    show("agent-state", agent === undefined ? "away" : (agent.attributes["lk.agent.state"] ?? "here"));
  }
}

/** Shows one line for each utterance. A later version of an utterance replaces the earlier one. */
async function showSpeech(current, reader, identity) {
  const id = reader.info.attributes?.["lk.segment_id"] ?? reader.info.id;
  const who = identity === current.room.localParticipant.identity ? "you" : "agent";
  const line = current.segments.get(id) ?? addLine(who);
  current.segments.set(id, line);
  const text = line.querySelector("span");
  let soFar = "";
  try {
    for await (const piece of reader) {
      soFar += piece;
      text.textContent = soFar;
      element("transcript").scrollTop = element("transcript").scrollHeight;
    }
  } catch (error) {
    // An agent that dies, or a room that is left, cuts a sentence short. The page keeps the words so far.
    if (error.name !== "DataStreamError") throw error;
  }
  // Text that the recognizer may still change is paler. The agent's text arrives once, while it is spoken,
  // and is marked as not final even at its end.
  if (who === "agent" || reader.info.attributes?.["lk.transcription_final"] !== "false") {
    line.dataset.final = "";
  }
}

function addLine(who) {
  element("transcript-hint").hidden = true;
  const line = document.createElement("li");
  line.dataset.who = who;
  const name = document.createElement("b");
  name.textContent = who === "you" ? "You" : "Agent";
  line.append(name, document.createElement("span"));
  element("transcript").append(line);
  return line;
}

function showSession(session) {
  show("state", session.state);
  element("warm").textContent = session.warm ?? "–";
  showStartup(session.startupTimings);
  if (session.queue)
    note(`Waiting for a free agent: position ${session.queue.position} of ${session.queue.length}.`);
  if (session.recovering) note(LOST);
  else if (session.state === "ready" && element("note").textContent === LOST)
    note("Another agent has taken over. Please continue.");
  const startMs = Date.parse(session.history[0].at);
  element("times").replaceChildren(
    ...session.history.map(({ state, at, attempt, reason, host }) => {
      const row = document.createElement("tr");
      const after = `${((Date.parse(at) - startMs) / 1000).toFixed(3)} s`;
      for (const text of [
        state,
        after,
        String(attempt),
        reason ?? (host === undefined ? "" : `on ${host}`),
      ]) {
        const cell = document.createElement("td");
        cell.textContent = text;
        row.append(cell);
      }
      return row;
    }),
  );
}

/** Shows the time of the start, and in a tooltip the time of each phase. */
function showStartup({ phase, totalMs, ...phases }) {
  const total = `${(totalMs / 1000).toFixed(2)} s`;
  element("startup").textContent = phase === "ready" ? total : `${total}, ${phase}`;
  element("startup").title = Object.entries(phases)
    .map(([name, ms]) => `${name.replace("Ms", "")} ${ms} ms`)
    .join(", ");
}

async function ask(method, path, body) {
  const response = await fetch(path, {
    method,
    ...(body === undefined
      ? {}
      : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
  }).catch(() => {
    throw new Error("The gateway does not answer. Is it running?");
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error?.message ?? `${path} answered ${response.status}.`);
  return answer;
}

function reset() {
  talk.disabled = true;
  profiles.disabled = true;
  stop.disabled = false;
  showError("");
  show("state", "none");
  show("agent-state", "none");
  element("warm").textContent = "–";
  element("startup").textContent = "–";
  element("startup").title = "";
  element("session-id").textContent = "–";
  element("times").replaceChildren();
  element("transcript").replaceChildren();
  note("Waiting for the microphone…");
}

function show(id, state) {
  element(id).textContent = state;
  element(id).dataset.state = state;
}

function note(text) {
  element("note").textContent = text;
}

/** Clears the message of a solved problem, but not other errors. */
function showProblem(text) {
  const { textContent } = element("error");
  if (textContent === problem || textContent === "") showError(text);
  problem = text;
}

function showError(text) {
  element("error").textContent = text;
  element("error").hidden = text === "";
}
