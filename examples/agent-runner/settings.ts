// The settings and the log of the runner.

export interface Settings {
  readonly port: number;
  readonly bind: string;
  /** Secret that signs launches. The providers service has the same AGENT_LAUNCHER_SECRET. */
  readonly launcherSecret: string;
  /** Base address of Greenroom's API. */
  readonly apiUrl: string;
  /** Secret that signs the requests of this runner. The gateway has the same one. */
  readonly jwtSecret: string;
  /** Name of this runner in its tokens. Each runner needs its own name, because a claim belongs to one runner. */
  readonly name: string;
}

export function readSettings(env: NodeJS.ProcessEnv): Settings {
  return {
    port: Number(env.PORT ?? 4100),
    bind: env.BIND ?? "127.0.0.1",
    launcherSecret: required(env, "AGENT_LAUNCHER_SECRET"),
    apiUrl: required(env, "CONTROL_PLANE_BASE_URL").replace(/\/+$/, ""),
    jwtSecret: required(env, "CONTROL_PLANE_JWT_SECRET"),
    name: env.RUNNER_NAME ?? `runner-${process.pid}`,
  };
}

function required(env: NodeJS.ProcessEnv, name: string): string {
  const value = env[name];
  if (value !== undefined && value !== "") return value;
  console.error(`Set ${name}. See examples/README.md.`);
  process.exit(78);
}

/** Logs one line of JSON. Never pass a token or a nonce as a field. */
export const log = (what: string, fields: Record<string, unknown> = {}): void =>
  console.log(JSON.stringify({ at: new Date().toISOString(), what, ...fields }));
