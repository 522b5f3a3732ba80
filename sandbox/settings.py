"""Django settings of the sandbox: no database, no sessions, no secrets."""

import os
import secrets
from pathlib import Path

HERE = Path(__file__).resolve().parent

SANDBOX_DIR = Path(os.environ.get("SANDBOX_DIR", "var/sandbox"))

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

SECRET_KEY = secrets.token_hex()
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "sandbox.urls"
MIDDLEWARE = ["sandbox.pages.guarded"]
APPEND_SLASH = False
USE_TZ = True
TIME_ZONE = "Asia/Shanghai"
USE_I18N = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [HERE / "templates"],
        "OPTIONS": {"builtins": ["sandbox.formats"]},
    }
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "sandbox: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"django.request": {"level": "ERROR"}},
}
