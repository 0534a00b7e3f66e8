# One image for every service of docker-compose.yml: web, gateway, workers, ticker, migrations.
FROM python:3.11-slim-trixie AS build
# Empty: torch as the package index has it (with CUDA). Name an index of CPU builds for an image ten times smaller.
ARG TORCH_INDEX_URL=
RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential cmake make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY Makefile pyproject.toml constraints.txt ./
COPY tools ./tools
# Built for the machine that builds, llama.cpp dies of an illegal instruction on an older one.
ENV CMAKE_ARGS="-DGGML_NATIVE=OFF"
RUN make setup PYTHON=python3.11 TORCH_INDEX_URL="$TORCH_INDEX_URL" \
 && .venv/bin/python tools/requirements.py otel > .setup/otel.txt \
 && .venv/bin/python -m pip install -c constraints.txt -r .setup/otel.txt

FROM python:3.11-slim-trixie
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 postgresql-client \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --home-dir /data --no-create-home retune \
 && install -d -o retune -g retune /data
WORKDIR /app
COPY --from=build /app/.venv ./.venv
COPY --from=build /app/.setup/converter ./.setup/converter
COPY manage.py pyproject.toml ./
COPY agency ./agency
COPY pipelines ./pipelines
COPY tenants ./tenants
COPY templates ./templates
COPY static ./static
COPY locale ./locale
ENV PATH="/app/.venv/bin:$PATH" PYTHONUNBUFFERED=1 RETUNE_VAR=/data HOME=/data
RUN python -m compileall -q agency pipelines tenants
USER 10001
VOLUME /data
EXPOSE 8420 8430
CMD ["uvicorn", "agency.asgi:application", "--host", "0.0.0.0", "--port", "8420", "--no-access-log"]
