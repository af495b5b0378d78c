// Compares Dockerfile, compose.yaml and .env.example with the code: its services, settings, servers and imports.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, posix } from "node:path";
import { parseSync } from "oxc-parser";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { programs } from "../../cli/programs.ts";
import { livekitServer, natsServer } from "../../cli/servers/binary-specs.ts";
import { natsConfigText } from "../../cli/servers/nats.ts";
import { processNames, RoleName } from "../../libs/contracts/fleet/pool.ts";
import { allSettingNames, readConfig, type Settings } from "../../libs/runtime/config.ts";
import { agentHostSettings } from "../../services/agent-host/config.ts";
import { callsSettings } from "../../services/calls/config.ts";
import { controlSettings, mergeSettings } from "../../services/control/config.ts";
import { allRoles } from "../../services/control/roles.ts";
import { dispatcherSettings } from "../../services/dispatcher/config.ts";
import { gatewaySettings } from "../../services/gateway/config.ts";
import { handoffsSettings } from "../../services/handoffs/config.ts";
import { janitorSettings } from "../../services/janitor/config.ts";
import { privacySettings } from "../../services/privacy/config.ts";
import { providersSettings } from "../../services/providers/config.ts";
import { ringingWaitMs } from "../../services/providers/launches/wait-for-ringing-calls.ts";
import { tasksSettings } from "../../services/tasks/config.ts";
import { webhooksSettings } from "../../services/webhooks/config.ts";
import { durationMs, readCompose, readEnvFile } from "../kit/checks/compose-file.ts";
import { readDockerfile } from "../kit/checks/dockerfile.ts";

const root = join(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

const composeText = read("deploy/compose.yaml");
const envLines = readEnvFile(read("deploy/.env.example"));
const image = readDockerfile(read("deploy/Dockerfile"));
const needed = { LIVEKIT_API_KEY: "APIexample", LIVEKIT_API_SECRET: "x".repeat(32) };
const compose = readCompose(composeText, needed);

const settingsOf: Readonly<Record<string, Settings>> = {
  gateway: gatewaySettings,
  control: mergeSettings([controlSettings, ...Object.values(allRoles).map(({ settings }) => settings)]),
  dispatcher: dispatcherSettings,
  "agent-host": agentHostSettings,
  janitor: janitorSettings,
  providers: providersSettings,
  handoffs: handoffsSettings,
  tasks: tasksSettings,
  calls: callsSettings,
  webhooks: webhooksSettings,
  privacy: privacySettings,
};
const allSettings = Object.assign({}, ...Object.values(settingsOf)) as Settings;
/** Variables that the agent files of this repository read. */
const ofAgents = ["OPENAI_API_KEY", "DEEPGRAM_API_KEY"];
/** Variables that only compose.yaml reads. Services get them too and ignore them. */
const ofCompose = [
  "IMAGE",
  "PULL_POLICY",
  "BASE_IMAGE",
  "NPM_CONFIG_REGISTRY",
  "LIVEKIT_BIND",
  "LIVEKIT_NODE_IP",
  "AGENT_HOST_STOP_GRACE",
  "CONTROL_STOP_GRACE",
];
const known = new Set([...Object.keys(allSettings), ...allSettingNames, ...ofAgents, ...ofCompose]);

const variables = [...new Set([...composeText.matchAll(/\$\{(\w+)/g)].map(([, name = ""]) => name))];
const ours = processNames.map((name) => [name, compose.services[name]!] as const);

describe("compose.yaml", () => {
  it("has every service and both servers, and nothing else", () => {
    expect(Object.keys(compose.services).sort()).toEqual([...processNames, "nats", "livekit"].sort());
  });

  it("runs three services by default, and each role alone with a profile", () => {
    const hasProfile = ([, { profiles = [] }]: (typeof ours)[number]) => profiles.includes("roles");
    expect(ours.filter(hasProfile).map(([name]) => name)).toEqual(RoleName.options);
    expect(ours.filter((one) => !hasProfile(one)).map(([name]) => name)).toEqual([
      "gateway",
      "control",
      "agent-host",
    ]);
  });

  it.each(ours)("runs %s by its name and restarts it when it ends", (name, service) => {
    expect(service.command).toEqual([name]);
    expect(service.restart).toBe("unless-stopped");
    expect(service.depends_on?.nats?.condition).toBe("service_healthy");
  });

  it("has the servers in the versions that npm start installs", () => {
    expect(compose.services.nats?.image).toBe(`nats:${natsServer.version}-alpine`);
    expect(compose.services.livekit?.image).toBe(`livekit/livekit-server:v${livekitServer.version}`);
  });

  it("builds the image of the repository by the Dockerfile beside it", () => {
    const builds = Object.values(compose.services).flatMap(({ build }) => build ?? []);
    expect(builds.map(({ context, dockerfile }) => [context, dockerfile])).toEqual([
      ["..", "deploy/Dockerfile"],
    ]);
    expect(existsSync(join(root, "deploy", builds[0]!.context, builds[0]!.dockerfile))).toBe(true);
  });

  it("sets only existing settings", () => {
    expect(variables.filter((name) => !known.has(name))).toEqual([]);
    for (const [name, { environment = {} }] of ours) {
      expect(
        Object.keys(environment).filter((key) => !known.has(key)),
        name,
      ).toEqual([]);
    }
  });

  it.each(ours)("gives %s valid settings, together with those of .env.example", (name, service) => {
    const shown = Object.fromEntries(envLines.map(({ name: key, value }) => [key, value]));
    const env = { ...image.env, ...shown, ...needed, ...service.environment };
    const config = readConfig(settingsOf[name]!, env);
    expect(config).toMatchObject({
      NATS_URL: "nats://nats:4222",
      LIVEKIT_URL: "ws://livekit:7880",
      LIVEKIT_PUBLIC_URL: "ws://localhost:7880",
      ...needed,
    });
  });

  it("allows several agent-hosts, each with a name of its own", () => {
    const host = compose.services["agent-host"]!;
    expect(host).not.toHaveProperty("container_name");
    expect(host.ports).toBeUndefined();
    const env = { GREENROOM_HOST_ID: "mine", ...host.environment };
    expect(readConfig(agentHostSettings, env).GREENROOM_HOST_ID).toBeUndefined();
  });

  it.each(Object.keys(needed))("rejects a missing %s with a message that names .env.example", (name) => {
    const without = { ...needed, [name]: "" };
    expect(() => readCompose(composeText, without)).toThrow(
      `required variable ${name} is missing a value: copy .env.example to .env`,
    );
  });

  it("gives each service enough time to stop", () => {
    const defaultOf = (settings: Settings, name: string) => Number(settings[name]?.default);
    const drainMs = defaultOf(agentHostSettings, "GREENROOM_DRAIN_TIMEOUT_MS");
    const ringS = defaultOf(providersSettings, "GREENROOM_SIP_RING_S");
    const ringMs = ringingWaitMs(ringS, defaultOf(providersSettings, "GREENROOM_DRAIN_TIMEOUT_MS"));
    const takes: Record<string, number> = {
      "agent-host": drainMs + 15_000,
      providers: ringMs + 10_000,
      control: ringMs + 20_000,
    };
    for (const [name, service] of ours) {
      expect(durationMs(service.stop_grace_period ?? "10s"), name).toBeGreaterThan(takes[name] ?? 10_000);
    }
  });

  it("stops agent-hosts before LiveKit, and all services before NATS", () => {
    expect(compose.services["agent-host"]?.depends_on).toHaveProperty("livekit");
    for (const [name, service] of ours) expect(service.depends_on, name).toHaveProperty("nats");
  });

  it("publishes ports only to this machine by default", () => {
    const published = Object.values(compose.services).flatMap(({ ports = [] }) => ports);
    expect(published).toHaveLength(4);
    for (const port of published) expect(port).toMatch(/^127\.0\.0\.1:/);
    expect(compose.services.nats?.ports).toBeUndefined();
    const open = readCompose(composeText, { ...needed, GREENROOM_BIND: "0.0.0.0", GREENROOM_PORT: "80" });
    expect(open.services.gateway?.ports).toEqual(["0.0.0.0:80:8080"]);
  });
});

describe("compose.yaml's servers", () => {
  it("configures LiveKit with the published ports and an existing webhook route", () => {
    const { environment = {}, ports } = compose.services.livekit!;
    const config = parse(environment.LIVEKIT_CONFIG ?? "");
    const inside = [config.port, config.rtc.tcp_port, `${config.rtc.udp_port}/udp`];
    expect(ports?.map((port) => port.split(":").at(-1))).toEqual(inside.map(String));
    const [webhook] = config.webhook.urls;
    expect(webhook).toBe(`http://gateway:${image.env.GREENROOM_PORT ?? "8080"}/api/livekit/webhook`);
    expect(read("services/gateway/sessions/livekit-webhook.ts")).toContain('"/api/livekit/webhook"');
    expect(parse(environment.LIVEKIT_KEYS ?? "")).toEqual({
      [needed.LIVEKIT_API_KEY]: needed.LIVEKIT_API_SECRET,
    });
    expect(config.webhook.api_key).toBe(needed.LIVEKIT_API_KEY);
  });

  it("makes LiveKit offer 127.0.0.1 to browsers on this machine, or one configured address to all", () => {
    const rtcWith = (env: Record<string, string>) => {
      const { environment = {} } = readCompose(composeText, { ...needed, ...env }).services.livekit!;
      return [environment.NODE_IP, parse(environment.LIVEKIT_CONFIG ?? "").rtc.enable_loopback_candidate];
    };
    expect(rtcWith({})).toEqual(["", true]);
    expect(rtcWith({ LIVEKIT_NODE_IP: "198.51.100.7" })).toEqual(["198.51.100.7", undefined]);
  });

  it("configures NATS like npm start does, with a sync to disk before each acknowledgement", () => {
    const linesOf = (text: string) =>
      text
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => !/^(#|$|listen:|http:|pid_file:)/.test(line));
    const layout = { dir: "/data", port: 4222, monitorPort: 8222, syncInterval: "always" };
    const npmStart = natsConfigText(layout).replace('"/data/jetstream"', '"/data"');
    expect(linesOf(read("deploy/container/nats.conf"))).toEqual(linesOf(npmStart));
    expect(compose.services.nats?.volumes).toEqual([
      "./container/nats.conf:/etc/nats/greenroom.conf:ro",
      "nats:/data",
    ]);
  });
});

describe(".env.example", () => {
  it("names every variable that compose.yaml reads, and only existing settings", () => {
    const names = envLines.map(({ name }) => name);
    expect(variables.filter((name) => !names.includes(name))).toEqual([]);
    expect(names.filter((name) => !known.has(name))).toEqual([]);
    expect(names).toEqual([...new Set(names)]);
  });

  it("leaves every secret and every required variable empty", () => {
    const secret = (name: string) =>
      name in needed || ofAgents.includes(name) || allSettings[name]?.secret === true;
    expect(envLines.filter(({ name, value }) => secret(name) && value !== "")).toEqual([]);
    for (const name of Object.keys(needed)) {
      expect(envLines).toContainEqual({ name, value: "", isComment: false });
    }
  });

  it("shows only actual defaults", () => {
    for (const { name, value } of envLines.filter((line) => line.isComment && line.value !== "")) {
      if (name === "BASE_IMAGE") expect(value).toBe(image.base);
      if (name === "BASE_IMAGE") continue;
      const byCompose = new RegExp(`\\$\\{${name}:-(?:\\$\\{\\w+:-)?([^}]*)\\}`).exec(composeText)?.[1];
      expect(value, name).toBe(byCompose ?? allSettings[name]?.default);
    }
  });

  it("is kept out of the image, and .env is also kept out of git", () => {
    expect(read(".gitignore").split("\n")).toContain(".env");
    expect(read(".dockerignore").split("\n")).toContain("**/.env*");
  });
});

describe("the image", () => {
  const compiled = (path: string) => image.compiled.some((folder) => path.startsWith(`${folder}/`));
  const copied = (path: string) =>
    compiled(path) || image.copies.some(({ from }) => path === from || path.startsWith(`${from}/`));
  const { name: itself, scripts, engines } = JSON.parse(read("package.json"));
  const locked = JSON.parse(read("package-lock.json")).packages;
  /** Whether `npm ci --omit=dev` installs a package. */
  const isInstalled = (name: string): boolean => {
    const found = locked[`node_modules/${name}`];
    return name === itself || (found !== undefined && found.dev !== true);
  };
  const sources = [...image.copies.map(({ from }) => from), ...image.compiled]
    .flatMap((from) => filesOf(from))
    .filter((path) => path.endsWith(".ts"))
    .map((path) => ({ path, imports: importsOf(path) }));

  it("copies existing paths to the same places, exactly those that .dockerignore admits", () => {
    const allowed = read(".dockerignore")
      .split("\n")
      .filter((line) => line.startsWith("!"));
    for (const { from, to } of image.copies) {
      expect(existsSync(join(root, from)), from).toBe(true);
      expect(to).toBe(`./${from}`);
    }
    const others = ["package-lock.json", ...image.compiled];
    expect([...image.copies.map(({ from }) => from), ...others].sort()).toEqual(
      allowed.map((line) => line.slice(1)).sort(),
    );
  });

  it("has every imported file and package, without development packages", () => {
    expect(sources.length).toBeGreaterThan(200);
    const missing = sources.flatMap(({ path, imports }) =>
      imports
        .filter((name) => !name.startsWith("node:"))
        .filter((name) => {
          if (!name.startsWith(".")) return !isInstalled(packageOf(name));
          const target = posix.join(posix.dirname(path), name);
          return !copied(target) || !existsSync(join(root, target));
        })
        .map((name) => `${path} imports ${name}`),
    );
    expect(missing).toEqual([]);
    expect([isInstalled("tsx"), isInstalled("vitest")]).toEqual([true, false]);
  });

  it.each([...programs])("has the program of %s", (_name, path) => {
    expect(compiled(path) && existsSync(join(root, path))).toBe(true);
  });

  const ofNpm = [...programs].filter(([name]) => name !== "start" && scripts[name] !== undefined);
  it.each(ofNpm)("runs %s from the same file as npm", (name, path) => {
    // A service replaces the shell of its script, which would keep signals from it.
    const exec = path.startsWith("services/") ? "exec " : "";
    expect(scripts[name]).toBe(`${exec}node cli/run.mjs ${path}`);
  });

  it("starts from files in the image, as a user other than root", () => {
    for (const command of [image.entrypoint, image.healthCheck]) {
      const file = (command.at(-1) ?? "").replace(/^dist\/(.*)\.js$/, "$1.ts");
      expect(command[0]).toBe("node");
      expect(copied(file) && existsSync(join(root, file)), file).toBe(true);
    }
    expect(image.user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  });

  it("downloads the model files of the agents' plugins, as the user that runs the agents", () => {
    expect(image.finalSteps).toEqual([[...image.entrypoint, "download-files"]]);
  });

  it("has a supported version of Node.js", () => {
    const [, major = "0"] = /^node:(\d+)-/.exec(image.base) ?? [];
    const [, least = ""] = /^>=(\d+)\./.exec(engines.node) ?? [];
    expect(Number(major)).toBeGreaterThanOrEqual(Number(least));
  });

  it("checks health on the metrics port, which is open to its network", () => {
    expect(image.env).toMatchObject({ GREENROOM_METRICS_PORT: "9464", GREENROOM_METRICS_BIND: "0.0.0.0" });
    for (const [name, { environment = {} }] of ours) {
      expect(environment.GREENROOM_METRICS_PORT, name).toBe(image.env.GREENROOM_METRICS_PORT);
    }
  });
});

function filesOf(path: string): string[] {
  if (!statSync(join(root, path)).isDirectory()) return [path];
  const entries = readdirSync(join(root, path), { recursive: true, encoding: "utf8" });
  return entries.map((entry) => posix.join(path, entry));
}

/** Every file and package that a file imports, including type imports. */
function importsOf(path: string): string[] {
  const text = read(path);
  const { staticImports, staticExports, dynamicImports } = parseSync(path, text).module;
  return [
    ...staticImports.map(({ moduleRequest }) => moduleRequest.value),
    ...staticExports.flatMap(({ entries }) =>
      entries.flatMap(({ moduleRequest }) => moduleRequest?.value ?? []),
    ),
    ...dynamicImports
      .map(({ moduleRequest: { start, end } }) => text.slice(start, end))
      .filter((name) => /^["']/.test(name))
      .map((name) => name.slice(1, -1)),
  ];
}

/** `@scope/name/part` is the package `@scope/name`. */
function packageOf(name: string): string {
  const parts = name.split("/");
  return parts.slice(0, name.startsWith("@") ? 2 : 1).join("/");
}
