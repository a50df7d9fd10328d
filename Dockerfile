# The images of the server and of the operator:
#
#     docker build --target server --tag modelroll-server .
#     docker build --target operator --tag modelroll-operator .
#
# BASE may be any Debian-like image with Python 3.11 or newer and its venv module. For a build that must be repeatable
# to the byte name it by digest: --build-arg BASE=python:3.11-slim-bookworm@sha256:…
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
# uv comes from the registry of packages like everything else. It stays in an environment of its own.
ARG UV_VERSION=0.13.8
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --disable-pip-version-check "uv==${UV_VERSION}"
# The base's own interpreter, the certificates that the base trusts (a company's among them), and bytecode now rather
# than at each start: the final image is read-only.
ENV PATH=/opt/uv/bin:$PATH \
    UV_PROJECT_ENVIRONMENT=/opt/venv \
    UV_PYTHON=python3 \
    UV_PYTHON_DOWNLOADS=never \
    UV_SYSTEM_CERTS=true \
    UV_COMPILE_BYTECODE=true \
    UV_LINK_MODE=copy
WORKDIR /src
# What is locked first, the sources after it. The final images have the two as layers of their own, too: a release that
# changes only the sources is a few kilobytes to pull.
COPY pyproject.toml uv.lock ./
COPY service/pyproject.toml service/pyproject.toml
COPY operator/pyproject.toml operator/pyproject.toml

# With pip, so that an image made FROM this one can add what its models need: USER root, RUN pip install ….
FROM build AS server-dependencies
ARG PIP_VERSION=26.3
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --quiet --frozen --no-dev --package modelroll-server --extra sklearn --extra stream --extra otel --no-install-workspace \
    && uv pip install --quiet --python /opt/venv/bin/python "pip==${PIP_VERSION}"

# What `modelroll batch` needs beyond that, in a place that only it looks into: where pandas finds pyarrow it imports it,
# and each server would hold 35 MB more.
FROM build AS batch-dependencies
RUN --mount=type=cache,target=/root/.cache/uv \
    export="uv export --quiet --frozen --no-dev --package modelroll-server --no-emit-workspace --no-hashes --no-annotate" \
    && $export --extra sklearn --extra stream >/tmp/served \
    && $export --extra sklearn --extra stream --extra batch >/tmp/all \
    && grep -vxFf /tmp/served /tmp/all >/tmp/batch \
    && uv pip install --quiet --no-deps --target /opt/venv/batch --requirements /tmp/batch \
    && rm -rf /opt/venv/batch/pyarrow/include /opt/venv/batch/pyarrow/tests

FROM server-dependencies AS build-server
COPY service service
RUN --mount=type=cache,target=/root/.cache/uv \
    mkdir /own && uv sync --quiet --frozen --no-dev --package modelroll-server --extra sklearn --extra stream --extra otel --no-editable --inexact \
    && cd / && find opt/venv -newer /own -not -type d -print0 | tar -c --null -T - | tar -x -C /own

FROM build AS operator-dependencies
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --quiet --frozen --no-dev --package modelroll-operator --extra otel --no-install-workspace

FROM operator-dependencies AS build-operator
COPY operator operator
RUN --mount=type=cache,target=/root/.cache/uv \
    mkdir /own && uv sync --quiet --frozen --no-dev --package modelroll-operator --extra otel --no-editable \
    && cd / && find opt/venv -newer /own -not -type d -print0 | tar -c --null -T - | tar -x -C /own

FROM ${BASE} AS runtime
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
# By number, so that runAsNonRoot can be checked without reading the image's /etc/passwd.
USER 65532:65532
WORKDIR /tmp

FROM runtime AS operator
LABEL org.opencontainers.image.title="modelroll operator" \
      org.opencontainers.image.description="Rolls ModelVersions over the pods of a Deployment" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=operator-dependencies /opt/venv /opt/venv
COPY --from=build-operator /own /
ENTRYPOINT ["modelroll-operator"]

FROM runtime AS server
LABEL org.opencontainers.image.title="modelroll server" \
      org.opencontainers.image.description="Serves scikit-learn models over HTTP and swaps them while it serves" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=server-dependencies /opt/venv /opt/venv
COPY --from=batch-dependencies /opt/venv/batch /opt/venv/batch
COPY --from=build-server /own /
EXPOSE 8000 8081 50051
ENTRYPOINT ["modelroll"]
CMD ["serve"]
