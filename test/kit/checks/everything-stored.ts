// Every stored message of every stream and bucket, for tests that check that something is not stored.
import { connect } from "nats";

/** Returns subjects, headers and payloads as text, one message a line. */
export async function everythingStored(natsUrl: string): Promise<string> {
  const connection = await connect({ servers: natsUrl });
  try {
    const manager = await connection.jetstreamManager();
    const lines: string[] = [];
    for await (const { config, state } of manager.streams.list()) {
      for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
        const stored = await manager.streams.getMessage(config.name, { seq }).catch(() => undefined);
        if (stored === undefined) continue; // A newer revision replaced the message.
        const headers = [...stored.header]
          .map(([name, values]) => `${name}: ${values.join(", ")}`)
          .join("; ");
        lines.push(`${config.name} ${stored.subject} ${headers} ${new TextDecoder().decode(stored.data)}`);
      }
    }
    return lines.join("\n");
  } finally {
    await connection.close();
  }
}
