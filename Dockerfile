# One image; the command chooses the role: web, worker, migrate, or up for everything on one machine.
FROM python:3.11-slim-bookworm AS build
WORKDIR /srv/dare
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv .venv
COPY requirements-bootstrap.txt requirements.lock pyproject.toml README.md LICENSE ./
# uv brings the packages in, each checked against the hash in the lock.
RUN .venv/bin/python -m pip install --quiet --require-hashes -r requirements-bootstrap.txt \
    && .venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes --no-deps -r requirements.lock
COPY service ./service
COPY storage ./storage
COPY workers ./workers
RUN .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .

FROM python:3.11-slim-bookworm
# A user without a shell; its number is fixed so that volumes can be prepared for it.
RUN groupadd --system --gid 10001 dare \
    && useradd --system --uid 10001 --gid dare --home-dir /srv/dare --shell /usr/sbin/nologin dare \
    && install -d -o dare -g dare /var/lib/dare
WORKDIR /srv/dare
COPY --from=build /srv/dare ./
COPY alembic.ini ./
COPY templates ./templates
COPY demo ./demo
ENV PATH=/srv/dare/.venv/bin:$PATH PYTHONUNBUFFERED=1 DARE_DATA=/var/lib/dare DARE_BIND=0.0.0.0
USER 10001:10001
VOLUME /var/lib/dare
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["dare"]
CMD ["web"]
