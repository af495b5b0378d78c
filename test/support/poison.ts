// Messages that nobody could make by the contracts: what strangers, bugs and other versions may send.
import fc from "fast-check";
import { StringCodec } from "nats";

const text = StringCodec();
/** Just under the server's largest message. */
const HUGE = 250 * 1024;

/** Payloads that are no message at all on any subject. */
export const nonsense: Record<string, Uint8Array> = {
  empty: new Uint8Array(),
  "not JSON": text.encode("hello {"),
  binary: Uint8Array.from({ length: 512 }, (_, index) => (index * 37) % 256),
  "a number": text.encode("7"),
  null: text.encode("null"),
  "a list": text.encode("[]"),
  "an empty object": text.encode("{}"),
  "prototype names": text.encode(
    '{"__proto__":{"type":"ready"},"constructor":{"prototype":{}},"toString":1,"type":"__proto__"}',
  ),
  "huge text": text.encode(JSON.stringify("x".repeat(HUGE))),
  "a huge name": text.encode(JSON.stringify({ type: "requested", [`k${"x".repeat(HUGE)}`]: 1 })),
  "deep nesting": text.encode(`${"[".repeat(HUGE / 2)}${"]".repeat(HUGE / 2)}`),
  "an unknown type": text.encode('{"type":"danced","tenant":"default","sessionId":"s_x","at":"now"}'),
  "a wrong version of UTF-8": Uint8Array.from([0x22, 0xc3, 0x28, 0xff, 0xfe, 0x22]),
};

/** Any JSON, and any bytes: what nobody thought of. */
export const anyPayload: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.json({ maxDepth: 5 }).map((json) => text.encode(json)),
  fc
    .record(
      {
        type: fc.constantFrom("requested", "joined", "ready", "agent_lost", "overdue", "__proto__", "woken"),
        tenant: fc.constantFrom("default", "other", "", "a.b", "__proto__"),
        sessionId: fc.constantFrom("s_none", "constructor", "", "*", ">"),
        attempt: fc.oneof(fc.integer(), fc.double(), fc.string()),
        at: fc.string(),
        host: fc.constantFrom("host-1", "__proto__", ""),
        epoch: fc.oneof(fc.integer(), fc.constant(null)),
        profile: fc.constantFrom("quick", "__proto__", "constructor", "toString"),
        metadata: fc.dictionary(fc.string(), fc.jsonValue()),
      },
      { requiredKeys: ["type"] },
    )
    .map((value) => text.encode(JSON.stringify(value))),
);
