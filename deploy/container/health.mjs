// The image's health check: whether the service of this container answers, and has its connection to NATS.
// It is plain JavaScript, since to load TypeScript every ten seconds would cost more than to ask.
const { GREENROOM_METRICS_PORT: port = "0", GREENROOM_METRICS_BIND: bind = "127.0.0.1" } = process.env;

process.exitCode = await look();

async function look() {
  if (port === "0") {
    console.error("GREENROOM_METRICS_PORT is 0, so this process can't be asked how it is.");
    return 1;
  }
  const isEverywhere = ["0.0.0.0", "::", ""].includes(bind);
  const host = isEverywhere ? "127.0.0.1" : bind.includes(":") ? `[${bind}]` : bind;
  try {
    const response = await fetch(`http://${host}:${port}/metrics`, { signal: AbortSignal.timeout(4000) });
    const text = await response.text();
    if (response.ok && /^greenroom_nats_connected 1$/m.test(text)) return 0;
    console.error(response.ok ? "The service has no connection to NATS." : `It answers ${response.status}.`);
  } catch (error) {
    console.error(`It doesn't answer: ${error instanceof Error ? (error.cause ?? error) : error}`);
  }
  return 1;
}
