# One image for every k2x process; docker-compose.yml says which one a container runs.
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/k2x
WORKDIR /src
COPY requirements.lock ./
RUN /opt/k2x/bin/pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY k2x k2x
COPY schemas schemas
COPY streams streams
COPY connectors connectors
COPY console console
COPY rules rules
COPY grafana/prometheus grafana/prometheus
RUN /opt/k2x/bin/pip install --no-deps . && /opt/k2x/bin/python -m compileall -q /opt/k2x

FROM python:3.11-slim
ENV PATH=/opt/k2x/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 K2X_CONFIG=/etc/k2x/k2x.yaml
# The state folder belongs to the user before a volume is laid over it, so that the volume does too.
RUN useradd --system --uid 10001 --home-dir /var/lib/k2x k2x && install -d -o k2x -g k2x /var/lib/k2x
COPY --from=build /opt/k2x /opt/k2x
COPY deploy/healthy.py /opt/k2x/healthy.py
USER k2x
WORKDIR /var/lib/k2x
VOLUME /var/lib/k2x
ENTRYPOINT ["k2x"]
CMD ["--help"]
