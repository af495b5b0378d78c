// The runner's settings and its log.

export interface Settings {
  readonly port: number;
  readonly bind: string;
  /** What launches are signed with; the providers service has the same one as AGENT_LAUNCHER_SECRET. */
  readonly launcherSecret: string;
  /** Where Greenroom's API is. */
  readonly apiUrl: string;
  /** What this runner signs its own requests with; the gateway has the same one. */
  readonly jwtSecret: string;
  /** Who it says it is. Of several runners each has a name of its own: a claim is for the one that made it. */
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
  console.error(`Set ${name}; examples/README.md says what to.`);
  process.exit(78);
}

/** One line of JSON. Tokens and nonces are never among the fields. */
export const log = (what: string, fields: Record<string, unknown> = {}): void =>
  console.log(JSON.stringify({ at: new Date().toISOString(), what, ...fields }));
