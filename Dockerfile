# The API and the operators' commands in a container: exact packages by their hashes, not root, nothing written
# outside /tmp. BASE is any image with python3 3.11 or newer and its venv.
# docker build -t session-approval-api .
# docker run --rm --env-file .env session-approval-api python -m scripts doctor
ARG BASE=python:3.13-slim

FROM ${BASE} AS packages
COPY requirements.lock .
RUN python3 -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: \
      -r requirements.lock

FROM ${BASE}
COPY --from=packages /venv /venv
WORKDIR /srv
COPY serve.py ./
COPY api api
COPY sql sql
COPY scripts scripts
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=8000
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python3", "-c", \
  "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=2)"]
CMD ["python3", "serve.py"]
