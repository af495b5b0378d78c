// Every message of every stream and bucket as it is stored, for tests that look for what must not be there.
import { connect } from "nats";

/** Subjects, headers and payloads, all of them as text, one message a line. */
export async function everythingStored(natsUrl: string): Promise<string> {
  const connection = await connect({ servers: natsUrl });
  try {
    const manager = await connection.jetstreamManager();
    const lines: string[] = [];
    for await (const { config, state } of manager.streams.list()) {
      for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
        const stored = await manager.streams.getMessage(config.name, { seq }).catch(() => undefined);
        if (stored === undefined) continue; // Another revision has taken its place.
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
