# The image of all services. Its command says which of them runs: `docker run greenroom gateway`.
# Nothing here needs BuildKit, so every engine can build it.

# Any other base with Node.js 20.19 or newer and glibc will do: the native LiveKit library has no build for musl.
ARG BASE_IMAGE=node:24-bookworm-slim

FROM ${BASE_IMAGE} AS dependencies
WORKDIR /app
# Where npm looks instead of its own registry, for a build behind a mirror: --build-arg NPM_CONFIG_REGISTRY=…
ARG NPM_CONFIG_REGISTRY
COPY package.json package-lock.json ./
# tsx, by which the services run, is one of the dependencies. No package of them needs its install script.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM ${BASE_IMAGE}
# The native LiveKit library trusts the system's certificates, which slim bases don't have: no wss:// without them.
RUN test -e /etc/ssl/certs/ca-certificates.crt \
  || { apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*; }
WORKDIR /app
# In a container of its own each process may have the same port for its metrics; the health check asks there.
ENV NODE_ENV=production \
  GREENROOM_BIND=0.0.0.0 \
  GREENROOM_METRICS_BIND=0.0.0.0 \
  GREENROOM_METRICS_PORT=9464
# What changes least comes first.
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json tsconfig.json ./
COPY libs ./libs
COPY services ./services
COPY cli ./cli
COPY deploy ./deploy
COPY agents ./agents
# A number, so that an orchestrator can see that it isn't root. It owns nothing here and writes to /tmp only.
USER 1000:1000
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "deploy/container/health.mjs"]
# No shell and no npm in between, so the service itself gets the signals.
ENTRYPOINT ["node", "--import", "tsx", "cli/container/entry.ts"]
