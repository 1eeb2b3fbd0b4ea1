# One image for every role: `docker run chaintide ingest`, `... worker`, `... sink`.
FROM python:3.12-slim AS build
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /chaintide
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1

# What we depend on changes less often than we do
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project
COPY . .
RUN uv sync --frozen --no-dev --no-editable

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 chaintide \
    && install --directory --owner=chaintide /data
COPY --from=build /chaintide/.venv /chaintide/.venv
ENV PATH=/chaintide/.venv/bin:$PATH PYTHONUNBUFFERED=1 CHAINTIDE_DATA_DIR=/data
USER chaintide
WORKDIR /data
VOLUME /data
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 \
    CMD ["chaintide", "doctor"]
ENTRYPOINT ["chaintide"]
CMD ["up"]
