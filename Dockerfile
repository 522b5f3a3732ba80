FROM python:3.13.7-slim-bookworm AS build
ENV PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements.lock .
RUN pip install --require-hashes --only-binary :all: -r requirements.lock
WORKDIR /shop
COPY . .
# Development settings need no secret for this, so none can end up in the image.
RUN mkdir -p var && python manage.py collectstatic --no-input --verbosity 0 \
    && python -m compileall -q /opt/venv/lib kameng members goods orders payments notifications

FROM python:3.13.7-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    KAMENG_ENV=production HOST=0.0.0.0 PORT=8000
RUN useradd --uid 10001 --create-home shop
COPY --from=build /opt/venv /opt/venv
COPY --from=build --chown=shop:shop /shop /shop
WORKDIR /shop
USER shop
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.parse, urllib.request as r; r.urlopen(r.Request('http://127.0.0.1:8000/healthz', headers={'Host': urllib.parse.urlsplit(os.environ['PUBLIC_URL']).netloc}), timeout=4)"]
CMD ["granian", "--interface", "wsgi", "--no-ws", "--host", "0.0.0.0", "--port", "8000", \
     "--workers", "2", "--blocking-threads", "3", "--backpressure", "64", \
     "--respawn-failed-workers", "kameng.wsgi:application"]
