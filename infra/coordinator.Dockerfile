# The coordinator: no torch, no pixels. Target "flower" is the same with Flower. Build from the repository's root.
FROM debian:12.15-slim AS build
# Debian stable keeps one version of a package, the mended one; a pin would only keep the build from it.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
RUN python3 -m venv /opt/datamask && python3 -m venv /opt/tools
# What it depends on changes seldom, so it is a layer of its own.
COPY pyproject.toml requirements.lock ./
COPY infra/image_requirements.py infra/
RUN python3 infra/image_requirements.py coordinator > wanted.txt \
 && /opt/datamask/bin/pip install --constraint requirements.lock --requirement wanted.txt \
 && /opt/tools/bin/pip install --constraint requirements.lock setuptools
COPY LICENSE NOTICE README.md ./
COPY services services
COPY worker worker
COPY coordinator coordinator
COPY datamask datamask
RUN /opt/tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/datamask/bin/pip install --no-deps /dist/*.whl
COPY infra/guard.sh infra/answers.py infra/make_bucket.py infra/coordinate.py /opt/datamask/infra/

FROM build AS build-flower
RUN python3 infra/image_requirements.py flower > wanted.txt \
 && /opt/datamask/bin/pip install --constraint requirements.lock --requirement wanted.txt

FROM debian:12.15-slim AS base
# As above: Debian's mended versions, not pinned ones.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --create-home datamask \
 && install --directory --owner=datamask --group=datamask /data
ENV PATH=/opt/datamask/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /home/datamask
USER 10001:10001

FROM base AS flower
COPY --from=build-flower /opt/datamask /opt/datamask
CMD ["celery", "--app=services.wire.app", "flower"]

FROM base AS coordinator
COPY --from=build /opt/datamask /opt/datamask
CMD ["datamask", "--help"]
