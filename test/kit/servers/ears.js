// Runs in a page before its own scripts, and measures every audio element that plays a stream:
// its loudness, and which of `globalThis.tonesHz` it contains.
(() => {
  const STEP_MS = 25;
  const WINDOW = 2048;
  const RATE = 48_000;
  /** A tone is this much louder than the other ones, in dB. */
  const PROMINENT_DB = 12;
  const heard = { startedAt: Date.now(), stepMs: STEP_MS, levels: [], tones: [] };
  globalThis.heard = heard;
  const ears = new Map();
  const samples = new Float32Array(WINDOW);
  const spectrum = new Float32Array(WINDOW / 2);
  let audio;

  const attach = (element) => {
    if (ears.has(element) || !(element.srcObject instanceof MediaStream)) return;
    audio ??= new AudioContext({ sampleRate: RATE });
    const ear = audio.createAnalyser();
    ear.fftSize = WINDOW;
    ear.smoothingTimeConstant = 0;
    audio.createMediaStreamSource(element.srcObject).connect(ear);
    ears.set(element, ear);
  };

  const loudness = (ear) => {
    ear.getFloatTimeDomainData(samples);
    return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / WINDOW);
  };

  /** The tone in Hz, or 0 for none. */
  const toneOf = (ear) => {
    ear.getFloatFrequencyData(spectrum);
    const levels = globalThis.tonesHz.map((hz) => spectrum[Math.round((hz * WINDOW) / RATE)]);
    const [first, second] = levels.toSorted((a, b) => b - a);
    return first - second > PROMINENT_DB ? globalThis.tonesHz[levels.indexOf(first)] : 0;
  };

  /** Only a connected, unmuted element that plays makes a sound. */
  const isPlaying = (element) =>
    element.isConnected && !element.paused && !element.muted && element.volume > 0;

  setInterval(() => {
    for (const element of document.querySelectorAll("audio")) attach(element);
    const playing = [...ears].filter(([element]) => isPlaying(element)).map(([, ear]) => ear);
    const loudest = Math.max(0, ...playing.map(loudness));
    const tone = Math.max(0, ...playing.map(toneOf));
    // A late timer fills in the missed steps, so that the levels stay aligned with the time.
    const due = Math.floor((Date.now() - heard.startedAt) / STEP_MS) + 1;
    while (heard.levels.length < due) {
      heard.levels.push(loudest);
      heard.tones.push(tone);
    }
  }, STEP_MS);
})();
