"""Settings: defaults for a laptop, the environment for production.

With OPSDESK_PRODUCTION=1 a missing or odd value stops the start and is named in the error.
"""

import os
from datetime import timedelta
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from opsdesk.embedded import addresses
from opsdesk.lib.servers import LIMITS, database_from_url, redis_with_limits

BASE_DIR = Path(__file__).resolve().parent.parent
PRODUCTION = os.environ.get("OPSDESK_PRODUCTION") == "1"
VAR_DIR = Path(os.environ.get("OPSDESK_VAR") or BASE_DIR / "var")


def _required(name: str, *, on_a_laptop: str) -> str:
    value = os.environ.get(name, "")
    if value:
        return value
    if PRODUCTION:
        raise ImproperlyConfigured(f"{name} must be set when OPSDESK_PRODUCTION=1.")
    return on_a_laptop


def _server(name: str, *, embedded: str) -> str:
    """The server given by URL, or the one that comes along, which is not meant for production."""
    allowed = not PRODUCTION or os.environ.get("OPSDESK_EMBEDDED_IN_PRODUCTION") == "1"
    if not os.environ.get(name) and not allowed:
        raise ImproperlyConfigured(
            f"{name} must name a real server when OPSDESK_PRODUCTION=1 "
            "(OPSDESK_EMBEDDED_IN_PRODUCTION=1 allows the embedded ones, for one small host)."
        )
    return os.environ.get(name) or embedded


def _port(name: str, default: int) -> int:
    value = os.environ.get(name) or str(default)
    if not (value.isdecimal() and 0 < int(value) < 65_536):
        raise ImproperlyConfigured(f"{name} must be the number of a port, not {value!r}.")
    return int(value)


def _count(name: str, default: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdecimal():
        raise ImproperlyConfigured(f"{name} must be a number, not {value!r}.")
    return int(value)


def _networks(name: str, *, on_a_laptop: str) -> list[IPv4Network | IPv6Network]:
    try:
        return [ip_network(part) for part in _listed(name) or ([] if PRODUCTION else on_a_laptop.split())]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must list addresses or networks, such as 10.0.0.0/8: {error}.") from error


def _listed(name: str) -> list[str]:
    return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]


SECRET_KEY = _required("OPSDESK_SECRET_KEY", on_a_laptop="only-for-a-laptop-" + "k" * 40)
# Fernet keys for secrets at rest, newest first; all but the first only decrypt.
FIELD_KEYS = _required("OPSDESK_FIELD_KEYS", on_a_laptop="b25seS1mb3ItYS1sYXB0b3AtMzItYnl0ZXMta2V5ISE=").split(",")
DEBUG = False
ALLOWED_HOSTS = _listed("OPSDESK_ALLOWED_HOSTS") or (
    [] if PRODUCTION else ["127.0.0.1", "localhost", "[::1]", "testserver"]
)
CSRF_TRUSTED_ORIGINS = _listed("OPSDESK_TRUSTED_ORIGINS")

WEB_PORT = _port("OPSDESK_PORT", 8000)
GATEWAY_PORT = _port("OPSDESK_GATEWAY_PORT", 8010)
INBOX_PORT = _port("OPSDESK_INBOX_PORT", 8020)
SMTP_PORT = _port("OPSDESK_SMTP_PORT", 8025)
BASE_URL = os.environ.get("OPSDESK_BASE_URL") or f"http://127.0.0.1:{WEB_PORT}"

INSTALLED_APPS = [
    "accounts.site.DeskAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "axes",
    "csp",
    "pgtrigger",
    "django_filters",
    "django_htmx",
    "django_rq",
    "django_structlog",
    "accounts",
    "auditlog",
    "workflows",
    "integrations",
    "approvals",
    "opsdesk",
]

MIDDLEWARE = [
    # First what only adds headers, so that the refusals of all the others carry them too.
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "accounts.middleware.NeverStored",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "accounts.middleware.DeskMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    # Last: it turns a refusal of the counter of tries into its page.
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "opsdesk.urls"
WSGI_APPLICATION = "opsdesk.wsgi.application"
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
LOGIN_URL = "accounts:sign_in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "accounts:sign_in"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["opsdesk.templatetags.ui"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "opsdesk.navigation.navigation",
                "opsdesk.lists.looks.looks",
            ],
        },
    }
]

# Set for web by gunicorn.conf.py; every other process works in the background.
PROCESS = os.environ.get("OPSDESK_PROCESS") or "worker"
if PROCESS not in LIMITS:
    raise ImproperlyConfigured(f"OPSDESK_PROCESS must be one of {', '.join(LIMITS)}, not {PROCESS!r}.")
_EMBEDDED_DATABASE = addresses.database_url(owner=os.environ.get(addresses.AS_OWNER) == "1")
DATABASES = {"default": database_from_url(_server("DATABASE_URL", embedded=_EMBEDDED_DATABASE), LIMITS[PROCESS])}
REDIS_URL = _server("REDIS_URL", embedded=addresses.redis_url())
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Celery runs automations, RQ runs a person's errands. Nothing is in both.
CELERY_BROKER_URL = _server("BROKER_URL", embedded=addresses.broker_url())
# The jobs process waits longer for its next errand: rq sees to that itself.
RQ_QUEUES = {"default": {"URL": redis_with_limits(REDIS_URL, seconds=5), "DEFAULT_TIMEOUT": 1800}}
RQ = {"WORKER_CLASS": "opsdesk.watch.errands.DeskWorker"}

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
FORMAT_MODULE_PATH = None

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
_INTER = find_spec("fontpkg_inter")
STATICFILES_DIRS: list[Any] = [BASE_DIR / "static"]
if _INTER and _INTER.submodule_search_locations:
    # The typeface comes from its package; without it the system's own is used.
    STATICFILES_DIRS.append(("inter", Path(_INTER.submodule_search_locations[0]) / "files"))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if os.environ.get("OPSDESK_PLAIN_STATIC") == "1"
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

EMAIL_HOST = os.environ.get("OPSDESK_SMTP_HOST") or "127.0.0.1"
EMAIL_PORT = SMTP_PORT
EMAIL_HOST_USER = os.environ.get("OPSDESK_SMTP_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("OPSDESK_SMTP_PASSWORD", "")
EMAIL_USE_TLS = os.environ.get("OPSDESK_SMTP_TLS") == "1"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = os.environ.get("OPSDESK_MAIL_FROM") or "opsdesk@localhost"

# Outbound calls go to public addresses only; these host:port pairs are let through all the same.
OUTBOUND_EXCEPTIONS = _listed("OPSDESK_OUTBOUND_EXCEPTIONS") or ([] if PRODUCTION else [f"127.0.0.1:{GATEWAY_PORT}"])

# How many requests of a kind wait for a thread in each web process before the next is answered 503 (admission.py).
WEB_WAITING = {
    "pages": _count("OPSDESK_WAITING_PAGES", 16),
    "decisions": _count("OPSDESK_WAITING_DECISIONS", 32),
    "webhooks": _count("OPSDESK_WAITING_WEBHOOKS", 64),
    "probes": 64,
}

# Calls that one token may make within a minute, before it is answered 429.
API_CALLS_A_MINUTE = _count("OPSDESK_API_CALLS_A_MINUTE", 120)

# Who may read /metrics: whoever has the token, or asks straight from one of these addresses; in production nobody else.
METRICS_TOKEN = os.environ.get("OPSDESK_METRICS_TOKEN", "")
METRICS_ALLOWED = _networks("OPSDESK_METRICS_ALLOWED", on_a_laptop="127.0.0.0/8 ::1")

# Where heads of the audit log are handed (auditlog/seals/handing.py): at least one should be out of this host's reach.
HEADS = {
    "file": os.environ.get("OPSDESK_HEADS_FILE") or str(VAR_DIR / "heads.jsonl"),
    "mail": os.environ.get("OPSDESK_HEADS_MAIL", ""),
    "webhook": os.environ.get("OPSDESK_HEADS_WEBHOOK", ""),
}
HEADS_MINUTES = _count("OPSDESK_HEADS_MINUTES", 10)
HEADS_SECRET = os.environ.get("OPSDESK_HEADS_SECRET", "")

# Where backups of the embedded database are written, and after how many hours without one there is an alert (0: none).
BACKUPS = os.environ.get("OPSDESK_BACKUPS") or str(VAR_DIR / "backups")
BACKUP_HOURS = _count("OPSDESK_BACKUP_HOURS", 26)

# How long a session lasts is set for each organization; this is the longest that one can set.
SESSION_ENGINE = "accounts.sessions"
SESSION_COOKIE_AGE = int(timedelta(hours=24).total_seconds())
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
# Second factors. None of allauth's own pages is reachable: accounts.views has those of the desk.
MFA_ADAPTER = "accounts.factors.Adapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_WEBAUTHN_USER_VERIFICATION = "required"
# Clocks of telephones differ: the code before and the one after count too, each once.
MFA_TOTP_TOLERANCE = 1
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
# Guessing of passwords is counted by account, in accounts.guessing: addresses are cheap.
AXES_HANDLER = "accounts.guessing.Counter"
AXES_USERNAME_CALLABLE = "accounts.guessing.bucket"
AXES_LOCKOUT_CALLABLE = "accounts.guessing.refused"
AXES_LOCKOUT_PARAMETERS = ["username"]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_ENABLE_ACCESS_FAILURE_LOG = True
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False
AXES_ENABLE_ADMIN = False
# axes wants the address among what is counted; it is left out on purpose.
SILENCED_SYSTEM_CHECKS = ["axes.W006"]
# By whom people sign in beside their passwords (OpenID Connect); nobody's button where issuer or client is not named.
IDENTITY_PROVIDER = {
    "issuer": os.environ.get("OPSDESK_OIDC_ISSUER", "").rstrip("/"),
    "client_id": os.environ.get("OPSDESK_OIDC_CLIENT_ID", ""),
    "client_secret": os.environ.get("OPSDESK_OIDC_CLIENT_SECRET", ""),
    "name": os.environ.get("OPSDESK_OIDC_NAME") or "single sign-on",
    "groups_claim": os.environ.get("OPSDESK_OIDC_GROUPS_CLAIM") or "groups",
    "scopes": os.environ.get("OPSDESK_OIDC_SCOPES") or "openid profile email",
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
if PRODUCTION:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
    SECURE_SSL_REDIRECT = os.environ.get("OPSDESK_SSL_REDIRECT", "1") == "1"
    # Monitoring asks the process itself, which speaks plain HTTP.
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    if not ALLOWED_HOSTS:
        raise ImproperlyConfigured("OPSDESK_ALLOWED_HOSTS must name the host of the desk when OPSDESK_PRODUCTION=1.")

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}

LOGGING_CONFIG = "opsdesk.logs.configure"
LOGGING: dict[str, Any] = {"level": os.environ.get("OPSDESK_LOG_LEVEL", "INFO")}
