# The image of all services. Its command selects the service: `docker run greenroom gateway`.
# The build does not need BuildKit.

# Any base with Node.js 20.19 or newer and glibc works. The native LiveKit library has no build for musl.
ARG BASE_IMAGE=node:24-bookworm-slim

FROM ${BASE_IMAGE} AS dependencies
WORKDIR /app
# The registry of npm, for a build behind a mirror: --build-arg NPM_CONFIG_REGISTRY=…
ARG NPM_CONFIG_REGISTRY
COPY package.json package-lock.json ./
# No package needs its install script.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM dependencies AS build
COPY libs ./libs
COPY services ./services
COPY cli ./cli
RUN node cli/build.mjs

FROM ${BASE_IMAGE}
# The native LiveKit library uses the system's certificates, which slim bases lack. Without them wss:// fails.
RUN test -e /etc/ssl/certs/ca-certificates.crt \
  || { apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*; }
WORKDIR /app
# Each process has its own container, so all can use the same port for metrics. The health check uses it too.
ENV NODE_ENV=production \
  GREENROOM_BIND=0.0.0.0 \
  GREENROOM_METRICS_BIND=0.0.0.0 \
  GREENROOM_METRICS_PORT=9464
# Layers that change least come first.
COPY --from=dependencies /app/node_modules ./node_modules
# tsconfig.json is for agent files, which an agent process compiles.
COPY package.json tsconfig.json ./
COPY deploy ./deploy
COPY --from=build /app/dist ./dist
COPY agents ./agents
# A numeric user, so that an orchestrator can verify that it is not root. It writes to /tmp only.
USER 1000:1000
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "deploy/container/health.mjs"]
# No shell and no npm in between, so signals reach the service.
ENTRYPOINT ["node", "dist/cli/container/entry.js"]
