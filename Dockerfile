# syntax=docker/dockerfile:1
# One image for every process of ours: the command says which. Pin the base by digest when you build for production.
FROM python:3.12-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /app
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-default-groups --no-install-project --compile-bytecode
COPY domain domain
COPY activities activities
COPY workflows workflows
COPY adapters adapters
COPY workers workers
COPY api api
COPY ops ops
RUN uv sync --frozen --no-default-groups --compile-bytecode

FROM python:3.12-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin strongroom \
    && install -d -m 0700 -o strongroom -g strongroom /var/lib/strongroom
COPY --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    STRONGROOM_PROFILE=production \
    STRONGROOM_STATE_DIR=/var/lib/strongroom \
    STRONGROOM_API_HOST=0.0.0.0 \
    STRONGROOM_METRICS_HOST=0.0.0.0
USER 10001:10001
WORKDIR /app
VOLUME /var/lib/strongroom
STOPSIGNAL SIGTERM
ENTRYPOINT ["strongroom"]
CMD ["--help"]
