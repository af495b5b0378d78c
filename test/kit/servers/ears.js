// Runs in a page before its own scripts, and measures the loudness of every audio element that plays a stream.
(() => {
  const STEP_MS = 25;
  const WINDOW = 2048;
  const heard = { startedAt: Date.now(), stepMs: STEP_MS, levels: [] };
  globalThis.heard = heard;
  const ears = new Map();
  const samples = new Float32Array(WINDOW);
  let audio;

  const attach = (element) => {
    if (ears.has(element) || !(element.srcObject instanceof MediaStream)) return;
    audio ??= new AudioContext({ sampleRate: 48_000 });
    const ear = audio.createAnalyser();
    ear.fftSize = WINDOW;
    audio.createMediaStreamSource(element.srcObject).connect(ear);
    ears.set(element, ear);
  };

  const loudness = (ear) => {
    ear.getFloatTimeDomainData(samples);
    return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / WINDOW);
  };

  /** Only a connected, unmuted element that plays makes a sound. */
  const isPlaying = (element) =>
    element.isConnected && !element.paused && !element.muted && element.volume > 0;

  setInterval(() => {
    for (const element of document.querySelectorAll("audio")) attach(element);
    const levels = [...ears].filter(([element]) => isPlaying(element)).map(([, ear]) => loudness(ear));
    const loudest = Math.max(0, ...levels);
    // A late timer fills in the missed steps, so that the levels stay aligned with the time.
    const due = Math.floor((Date.now() - heard.startedAt) / STEP_MS) + 1;
    while (heard.levels.length < due) heard.levels.push(loudest);
  }, STEP_MS);
})();
