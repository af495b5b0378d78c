// The health check of the image: succeeds if the service answers and is connected to NATS.
// It imports nothing, because it runs every ten seconds.
const { GREENROOM_METRICS_PORT: port = "0", GREENROOM_METRICS_BIND: bind = "127.0.0.1" } = process.env;

process.exitCode = await look();

async function look() {
  if (port === "0") {
    console.error("GREENROOM_METRICS_PORT is 0, so the health of this process can't be checked.");
    return 1;
  }
  const isEverywhere = ["0.0.0.0", "::", ""].includes(bind);
  const host = isEverywhere ? "127.0.0.1" : bind.includes(":") ? `[${bind}]` : bind;
  try {
    const response = await fetch(`http://${host}:${port}/metrics`, { signal: AbortSignal.timeout(4000) });
    const text = await response.text();
    if (response.ok && /^greenroom_nats_connected 1$/m.test(text)) return 0;
    console.error(
      response.ok ? "The service has no connection to NATS." : `The service answered ${response.status}.`,
    );
  } catch (error) {
    console.error(`The service does not answer: ${error instanceof Error ? (error.cause ?? error) : error}`);
  }
  return 1;
}
