"""Settings: every value that depends on the place comes from the environment.

What an operator tunes (prices, limits, windows) is data in the admin, not a setting.
``.env.example`` documents each variable. A value that is missing in production, or
broken anywhere, stops the start and names itself.
"""

from __future__ import annotations

import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP
from django.utils.translation import gettext_lazy as _

from kameng import env

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = BASE_DIR / "var"

KAMENG_ENV = env.choice("KAMENG_ENV", ("development", "production"), "development")
PRODUCTION = KAMENG_ENV == "production"
TESTING = bool(os.environ.get("PYTEST_VERSION"))
DEBUG = False

# --- Secrets ---------------------------------------------------------------------

SECRET_KEY = env.text("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.listing("SECRET_KEY_FALLBACKS")
DATA_KEYS = env.listing("DATA_KEYS")
"""Keys of encrypted columns and keyed digests; the first one encrypts."""
if PRODUCTION:
    for _name, _value in (
        ("SECRET_KEY", SECRET_KEY),
        ("DATA_KEYS", DATA_KEYS and DATA_KEYS[0]),
    ):
        if not _value or len(_value) < 32 or len(set(_value)) < 8:
            raise ImproperlyConfigured(
                f"{_name}: set a random value of at least 50 characters"
            )
    if len(SECRET_KEY) < 50 or SECRET_KEY.startswith("django-insecure"):
        raise ImproperlyConfigured("SECRET_KEY: shorter than 50 characters or a sample")
else:
    SECRET_KEY = SECRET_KEY or secrets.token_urlsafe(48)
    DATA_KEYS = DATA_KEYS or [SECRET_KEY]

# --- Addresses -------------------------------------------------------------------

PUBLIC_URL = env.url(
    "PUBLIC_URL", "" if PRODUCTION else "http://127.0.0.1:8000", https_only=PRODUCTION
)
PUBLIC_HOST = urlsplit(PUBLIC_URL).hostname or ""
ALLOWED_HOSTS = env.listing("ALLOWED_HOSTS") or (
    [PUBLIC_HOST] if PRODUCTION else ["127.0.0.1", "localhost", "[::1]", PUBLIC_HOST]
)
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES")
CONSOLE_PATH = env.text("CONSOLE_PATH", "console/").strip("/") + "/"
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL.startswith("https://") else []

# --- Application -----------------------------------------------------------------

INSTALLED_APPS = [
    "kameng",
    "members",
    "goods",
    "orders",
    "payments",
    "notifications",
    "kameng.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
]

MIDDLEWARE = [
    "kameng.middleware.RequestIdMiddleware",
    "kameng.middleware.LandingCacheMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "kameng.middleware.UnavailableMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "kameng.middleware.PrivacyMiddleware",
    "members.sign_in.misses.MissesMiddleware",
]

ROOT_URLCONF = "kameng.urls"
WSGI_APPLICATION = "kameng.wsgi.application"
APPEND_SLASH = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "members.context.shop",
            ],
            "builtins": ["kameng.templatetags.shop"],
        },
    }
]

AUTH_USER_MODEL = "members.Member"
AUTHENTICATION_BACKENDS = ["members.staff.StaffBackend"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "account"
LOGOUT_REDIRECT_URL = "home"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Database, cache, workers ----------------------------------------------------

DATABASES = {"default": env.database("DATABASE_URL", VAR / "db.sqlite3")}
REDIS_URL = env.text("REDIS_URL", "" if PRODUCTION else "redis://127.0.0.1:6379/0")
if not REDIS_URL:
    raise ImproperlyConfigured("REDIS_URL: name the broker, redis://host:port/0")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "kameng",
        "OPTIONS": {"socket_timeout": 0.2, "socket_connect_timeout": 0.2},
    },
    # Footer and comparison table: the same for everyone, kept in the process.
    "template_fragments": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 200},
    },
}

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://")
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than the longest task; a killed worker's task returns after it.
    "visibility_timeout": 60,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,
    "socket_connect_timeout": 1,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_TASK_SOFT_TIME_LIMIT = 50
CELERY_TASK_ALWAYS_EAGER = TESTING
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR / "beat-schedule")
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    # Each job is a query over due rows: safe when run twice, by several beats, or
    # by ``manage.py sweep`` from cron. ``expires`` keeps a stopped worker from
    # meeting a heap of old ticks.
    name: {
        "task": task,
        "schedule": timedelta(seconds=seconds),
        "options": {"expires": seconds},
    }
    for name, task, seconds in (
        ("poll-attempts", "payments.tasks.poll_attempts_task", 5),
        ("run-outbox", "notifications.tasks.run_outbox_task", 5),
        ("expire-orders", "payments.tasks.expire_orders_task", 30),
        ("serve-queues", "orders.tasks.serve_queues_task", 60),
        ("refund-short", "payments.tasks.refund_short_task", 60),
        ("continue-refunds", "payments.tasks.continue_refunds_task", 30),
        ("confirm-payments", "payments.tasks.confirm_payments_task", 30),
        ("fetch-bills", "payments.tasks.fetch_bills_task", 300),
        ("renew", "payments.tasks.renew_task", 30),
        ("schedule-reminders", "members.tasks.schedule_reminders_task", 60),
        ("drop-old-imports", "goods.tasks.drop_old_imports_task", 3600),
        ("forget-codes", "members.tasks.forget_codes_task", 600),
        ("erase-members", "payments.tasks.erase_members_task", 600),
        ("forget-visits", "members.tasks.forget_visits_task", 3600),
        ("clear-sessions", "members.tasks.clear_sessions_task", 3600),
    )
}

# --- Sessions and browser security -----------------------------------------------

SESSION_ENGINE = "kameng.sessions"
SESSION_COOKIE_AGE = 90 * 86_400
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_NAME = "__Host-sessionid" if SESSION_COOKIE_SECURE else "sessionid"
CSRF_COOKIE_NAME = "__Host-csrftoken" if CSRF_COOKIE_SECURE else "csrftoken"
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "kameng.views.csrf_failure"
LANGUAGE_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
# WeChat H5 needs our origin as the referrer; no path leaves the shop.
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
if PUBLIC_URL.startswith("https://"):
    SECURE_SSL_REDIRECT = PRODUCTION
    SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]
    SECURE_HSTS_SECONDS = 365 * 86_400
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]

# --- Language and time -----------------------------------------------------------

LANGUAGE_CODE = "zh-hans"
LANGUAGES = [("zh-hans", _("简体中文")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "Asia/Shanghai"

# --- Static files ----------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = VAR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if TESTING
        else "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
    },
}

# --- Logging: to stderr, never a phone, a code or a key --------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"mask": {"()": "kameng.logs.MaskPersonalData"}},
    "formatters": {
        "line": {"()": "kameng.logs.LineFormatter"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["mask"],
        }
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "celery": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        # At DEBUG it writes whole contexts, phones and codes among them.
        "django.template": {"level": "INFO"},
    },
}

# --- Payment gateways and SMS ----------------------------------------------------


def _endpoint(name: str, default: str) -> str:
    return env.url(name, default, https_only=PRODUCTION)


ALIPAY_GATEWAY_URL = _endpoint(
    "ALIPAY_GATEWAY_URL", "https://openapi.alipay.com/gateway.do"
)
ALIPAY_APP_ID = env.text("ALIPAY_APP_ID")
ALIPAY_SELLER_ID = env.text("ALIPAY_SELLER_ID")
ALIPAY_APP_PRIVATE_KEY = env.text("ALIPAY_APP_PRIVATE_KEY")
ALIPAY_PUBLIC_KEY = env.text("ALIPAY_PUBLIC_KEY")
ALIPAY_CYCLE_SCENE = env.text("ALIPAY_CYCLE_SCENE")

WECHAT_PAY_BASE_URL = _endpoint("WECHAT_PAY_BASE_URL", "https://api.mch.weixin.qq.com")
WECHAT_PAY_APP_ID = env.text("WECHAT_PAY_APP_ID")
WECHAT_PAY_MCH_ID = env.text("WECHAT_PAY_MCH_ID")
WECHAT_PAY_SERIAL_NO = env.text("WECHAT_PAY_SERIAL_NO")
WECHAT_PAY_PRIVATE_KEY = env.text("WECHAT_PAY_PRIVATE_KEY")
WECHAT_PAY_API_V3_KEY = env.text("WECHAT_PAY_API_V3_KEY")
WECHAT_PAY_PUBLIC_KEY_ID = env.text("WECHAT_PAY_PUBLIC_KEY_ID")
WECHAT_PAY_PUBLIC_KEY = env.text("WECHAT_PAY_PUBLIC_KEY")
WECHAT_PAY_PLATFORM_CERTS = env.text("WECHAT_PAY_PLATFORM_CERTS")

UNIONPAY_GATEWAY_URL = _endpoint("UNIONPAY_GATEWAY_URL", "https://gateway.95516.com")
UNIONPAY_MER_ID = env.text("UNIONPAY_MER_ID")
UNIONPAY_SIGN_CERT = env.text("UNIONPAY_SIGN_CERT")
UNIONPAY_SIGN_PASSWORD = env.text("UNIONPAY_SIGN_PASSWORD")
UNIONPAY_ROOT_CERT = env.text("UNIONPAY_ROOT_CERT")
UNIONPAY_MIDDLE_CERT = env.text("UNIONPAY_MIDDLE_CERT")
EPAY_BASE_URL = _endpoint("EPAY_BASE_URL", "") if env.text("EPAY_BASE_URL") else ""
EPAY_PID = env.text("EPAY_PID")
EPAY_KEY = env.text("EPAY_KEY")
EPAY_PHONE_CREDIT_TYPE = env.text("EPAY_PHONE_CREDIT_TYPE")

# --- Signing in with WeChat and QQ ------------------------------------------------

WECHAT_LOGIN_APP_ID = env.text("WECHAT_LOGIN_APP_ID")
WECHAT_LOGIN_SECRET = env.text("WECHAT_LOGIN_SECRET")
WECHAT_LOGIN_AUTHORIZE_URL = _endpoint(
    "WECHAT_LOGIN_AUTHORIZE_URL", "https://open.weixin.qq.com/connect/qrconnect"
)
WECHAT_LOGIN_API_URL = _endpoint("WECHAT_LOGIN_API_URL", "https://api.weixin.qq.com")
WECHAT_MP_APP_ID = env.text("WECHAT_MP_APP_ID")
WECHAT_MP_SECRET = env.text("WECHAT_MP_SECRET")
QQ_LOGIN_APP_ID = env.text("QQ_LOGIN_APP_ID")
QQ_LOGIN_SECRET = env.text("QQ_LOGIN_SECRET")
QQ_LOGIN_AUTHORIZE_URL = _endpoint(
    "QQ_LOGIN_AUTHORIZE_URL", "https://graph.qq.com/oauth2.0/authorize"
)
QQ_LOGIN_API_URL = _endpoint("QQ_LOGIN_API_URL", "https://graph.qq.com")

SMS_PROVIDER = env.choice("SMS_PROVIDER", ("sandbox", "tencent", "aliyun"), "sandbox")
SMS_SANDBOX_URL = env.url("SMS_SANDBOX_URL", "http://127.0.0.1:8001/sms/send")
SMS_WEBOTP_DOMAIN = env.text("SMS_WEBOTP_DOMAIN")
TENCENT_SMS_ENDPOINT = env.text("TENCENT_SMS_ENDPOINT", "sms.tencentcloudapi.com")
TENCENT_SMS_SECRET_ID = env.text("TENCENT_SMS_SECRET_ID")
TENCENT_SMS_SECRET_KEY = env.text("TENCENT_SMS_SECRET_KEY")
TENCENT_SMS_SDK_APP_ID = env.text("TENCENT_SMS_SDK_APP_ID")
TENCENT_SMS_SIGN_NAME = env.text("TENCENT_SMS_SIGN_NAME")
TENCENT_SMS_TEMPLATES = env.text("TENCENT_SMS_TEMPLATES")
ALIYUN_SMS_ENDPOINT = env.text("ALIYUN_SMS_ENDPOINT", "dysmsapi.aliyuncs.com")
ALIYUN_SMS_ACCESS_KEY_ID = env.text("ALIYUN_SMS_ACCESS_KEY_ID")
ALIYUN_SMS_ACCESS_KEY_SECRET = env.text("ALIYUN_SMS_ACCESS_KEY_SECRET")
ALIYUN_SMS_SIGN_NAME = env.text("ALIYUN_SMS_SIGN_NAME")
ALIYUN_SMS_TEMPLATES = env.text("ALIYUN_SMS_TEMPLATES")

# --- Verifying names ---------------------------------------------------------------

REAL_NAME_PROVIDER = env.choice("REAL_NAME_PROVIDER", ("", "sandbox", "tencent"), "")
"""Who verifies names; empty: what asks for a verified name cannot be bought."""
REAL_NAME_SANDBOX_URL = env.url(
    "REAL_NAME_SANDBOX_URL", "http://127.0.0.1:8001/real-name/check"
)
TENCENT_FACEID_URL = _endpoint(
    "TENCENT_FACEID_URL", "https://faceid.tencentcloudapi.com"
)
TENCENT_FACEID_SECRET_ID = env.text("TENCENT_FACEID_SECRET_ID")
TENCENT_FACEID_SECRET_KEY = env.text("TENCENT_FACEID_SECRET_KEY")

# --- Web push ----------------------------------------------------------------------

VAPID_PRIVATE_KEY = env.text("VAPID_PRIVATE_KEY")
VAPID_SUBJECT = env.text("VAPID_SUBJECT")
PUSH_SANDBOX_URL = env.url("PUSH_SANDBOX_URL") if env.text("PUSH_SANDBOX_URL") else ""

if PRODUCTION:
    if REAL_NAME_PROVIDER == "sandbox":
        raise ImproperlyConfigured("REAL_NAME_PROVIDER: the sandbox in production")
    if SMS_PROVIDER == "sandbox":
        raise ImproperlyConfigured("SMS_PROVIDER: production needs tencent or aliyun")
    for _name in (
        "ALIPAY_APP_ID",
        "ALIPAY_SELLER_ID",
        "WECHAT_PAY_APP_ID",
        "WECHAT_PAY_MCH_ID",
        "WECHAT_PAY_PUBLIC_KEY_ID",
        "UNIONPAY_MER_ID",
        "EPAY_PID",
        "WECHAT_LOGIN_APP_ID",
        "WECHAT_MP_APP_ID",
        "QQ_LOGIN_APP_ID",
        "TENCENT_SMS_SECRET_ID",
        "TENCENT_SMS_SDK_APP_ID",
        "ALIYUN_SMS_ACCESS_KEY_ID",
        "TENCENT_FACEID_SECRET_ID",
    ):
        if "SANDBOX" in globals()[_name].upper():
            raise ImproperlyConfigured(f"{_name}: the sandbox's value in production")
    if UNIONPAY_MER_ID.startswith("777290058"):
        raise ImproperlyConfigured("UNIONPAY_MER_ID: a merchant of the test gateway")
    if WECHAT_PAY_API_V3_KEY and len(set(WECHAT_PAY_API_V3_KEY)) < 8:
        raise ImproperlyConfigured("WECHAT_PAY_API_V3_KEY: a sample, not a random key")
    # Whether keys are complete and can be read is judged by ``kameng.checks``.

# --- Content security policy -----------------------------------------------------


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _unionpay_origins(url: str) -> list[str]:
    """The gateway and, of the real one, the cashiers to which it may lead the form."""
    own = _origin(url)
    is_real = own.startswith("https://gateway.") and own.endswith(".95516.com")
    cashiers = ("cashier.", "mcashier.") if is_real else ()  # desktop and phone
    return [own, *(own.replace("gateway.", name) for name in cashiers)]


def _qq_origins(url: str) -> list[str]:
    """The page to agree on; the real one leads through hosts of its own."""
    is_real = (urlsplit(url).hostname or "").endswith(".qq.com")
    return [_origin(url), *(["https://*.qq.com"] if is_real else [])]


SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    # The hand-over to a wallet may be a form; the configured gateways and no others.
    "form-action": [
        CSP.SELF,
        _origin(ALIPAY_GATEWAY_URL),
        _origin(WECHAT_PAY_BASE_URL),
        *_unionpay_origins(UNIONPAY_GATEWAY_URL),
        *([_origin(EPAY_BASE_URL)] if EPAY_BASE_URL else []),
        # A button that signs in posts to us and is sent on.
        *(
            [_origin(WECHAT_LOGIN_AUTHORIZE_URL)]
            if WECHAT_LOGIN_APP_ID or WECHAT_MP_APP_ID
            else []
        ),
        *(_qq_origins(QQ_LOGIN_AUTHORIZE_URL) if QQ_LOGIN_APP_ID else []),
    ],
    "frame-ancestors": [CSP.NONE],
    "base-uri": [CSP.NONE],
    "manifest-src": [CSP.SELF],
    "worker-src": [CSP.SELF],
}
