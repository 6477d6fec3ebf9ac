# One image for every role: the arguments of `docker run IMAGE` are those of `liveroom`.
#
#   docker build -t liveroom .
#   docker run -p 8800:8800 -p 8801:8801 -v liveroom:/data -e LIVEROOM_AUTH_SECRET liveroom          # all in one process
#   docker run -e LIVEROOM_JOURNAL_KIND=kafka -e LIVEROOM_KAFKA_BOOTSTRAP_SERVERS=... liveroom engine   # or gateway, console
#
# deploy/compose.yaml and deploy/k8s/ use it. Python may be any from 3.11 on. To pin the base image to its bytes, build with its digest:
#   docker build --build-arg PYTHON_IMAGE=python:3.13-slim-bookworm@sha256:... -t liveroom .
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# Exact versions, checked against their hashes. Ready-made packages only: the slim image has no compiler, and none is needed.
COPY deploy/locks/build.txt deploy/locks/run.txt deploy/locks/
RUN python -m venv /opt/liveroom \
    && /opt/liveroom/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary=:all: \
       -r deploy/locks/build.txt -r deploy/locks/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY liveroom liveroom
RUN /opt/liveroom/bin/pip install --no-cache-dir --disable-pip-version-check --no-build-isolation --no-deps . \
    && /opt/liveroom/bin/pip uninstall --yes --quiet setuptools

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/liveroom /opt/liveroom
RUN groupadd --gid 10001 liveroom \
    && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin liveroom \
    && install --directory --owner=liveroom --group=liveroom --mode=0700 /data
# In a container what listens on loopback alone is reached by nobody.
ENV PATH=/opt/liveroom/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    LIVEROOM_DATA_DIR=/data \
    LIVEROOM_GATEWAY_HOST=0.0.0.0 \
    LIVEROOM_CONSOLE_HOST=0.0.0.0 \
    LIVEROOM_OPS_HOST=0.0.0.0 \
    LIVEROOM_LOGS_FORMAT=json
USER 10001:10001
WORKDIR /data
VOLUME /data
# Gateway; console; health and metrics of a process without a console.
EXPOSE 8800 8801 8802
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["liveroom", "check-health"]
ENTRYPOINT ["liveroom"]
CMD ["serve"]
