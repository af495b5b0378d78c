// The fields of a session that the API shows.
import { expect, onTestFinished, test } from "vitest";
import { until } from "../../../../kit/until.ts";
import { becomeReady, startRig } from "../../../../kit/worlds/gateway-world.ts";

test("shows the version of the agent, by attempt in the history", async () => {
  const rig = await startRig();
  onTestFinished(() => rig.stop());
  rig.setPlay("wait");
  const id = (await rig.post("/api/session/start", { wait: 0 })).body.sessionId;
  await until(async () => (await rig.get(`/api/session/${id}`)).body.queue !== undefined, {
    what: "the session waits",
  });
  const ready = becomeReady({ sessionId: id, attempt: 1 }).map((input) =>
    input.type === "joined" || input.type === "ready" ? { ...input, version: "v1.2" } : input,
  );
  await rig.move(id, ...ready);
  const { body } = await rig.get(`/api/session/${id}`);
  expect(body).toMatchObject({ state: "ready", version: "v1.2" });
  expect(body.history.at(-1)).toMatchObject({ state: "ready", attempt: 1, version: "v1.2" });
  expect((await rig.get("/api/sessions")).body.sessions[0].version).toBe("v1.2");
});
