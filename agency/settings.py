"""All settings in one file.

Embedded by default; RETUNE_ENGINE=celery and DATABASE_URL make it a production installation.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from agency import env
from agency.telemetry.logs import FORMATS, logging_of

ROOT = Path(__file__).resolve().parent.parent
VAR = Path(env.text("RETUNE_VAR", str(ROOT / "var")))

# Whatever the environment names: where it is not there yet, all that is temporary would go to /tmp without a word.
if folder := env.text("TMPDIR"):
    with suppress(OSError):  # A one-off job may have no such volume.
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)

DEBUG = env.boolean("RETUNE_DEBUG")
ENGINE = env.text("RETUNE_ENGINE", "q2")  # eager | q2 | celery
SECRET_KEY = env.text("RETUNE_SECRET_KEY", "")
if not SECRET_KEY:
    if ENGINE == "celery":
        raise ImproperlyConfigured(
            "RETUNE_SECRET_KEY (or RETUNE_SECRET_KEY_FILE) is required with RETUNE_ENGINE=celery."
        )
    from agency.embedded.secret import secret_of

    SECRET_KEY = secret_of(VAR)

# Earlier secret keys: what they sealed stays readable, what they signed stays valid.
SECRET_KEY_FALLBACKS = env.items("RETUNE_SECRET_KEY_FALLBACKS")
# The loopback always: a health check asks there, whatever the outside calls this server.
ALLOWED_HOSTS = [*env.items("RETUNE_ALLOWED_HOSTS"), "127.0.0.1", "localhost", "[::1]"]
CSRF_TRUSTED_ORIGINS = env.items("RETUNE_TRUSTED_ORIGINS")
BASE_URL = env.text("RETUNE_BASE_URL", "http://127.0.0.1:8420")
GATEWAY_URL = env.text("RETUNE_GATEWAY_URL", BASE_URL).rstrip("/")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "django_htmx",
    "django_q",
    "tenants",
    "pipelines",
    "agency",
]

MIDDLEWARE = [
    "agency.telemetry.requests.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "agency.middleware.SecurityPolicyMiddleware",
    "agency.middleware.AddressMiddleware",
    "agency.middleware.ScopeMiddleware",
    "agency.middleware.LanguageMiddleware",
    "agency.accounts.demands.DemandsMiddleware",
    "agency.middleware.ReadOnlyMiddleware",
    "agency.middleware.FullDiskMiddleware",
]

ROOT_URLCONF = "agency.urls"
WSGI_APPLICATION = "agency.wsgi.application"
ASGI_APPLICATION = "agency.asgi.application"
AUTH_USER_MODEL = "tenants.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "builtins": ["django.templatetags.i18n", "agency.templatetags.retune"],
            "libraries": {name: f"agency.templatetags.{name}" for name in ("retune", "reports")},
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# Widgets drawn without a template each: half the time of a page with a long form.
FORM_RENDERER = "agency.portal.widgets.WidgetRenderer"


# A server that vanished says nothing: without these a query waits for it until the kernel gives up, after 15 minutes.
VANISHED = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


def database(url: str) -> dict[str, object]:
    """Django's settings for `postgresql://user:password@host:port/name?sslmode=require` or `sqlite:///path`."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": parts.path,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
            "CONN_MAX_AGE": 60,
        }
    if parts.scheme not in ("postgresql", "postgres"):
        raise ImproperlyConfigured(f"DATABASE_URL: {parts.scheme}:// is neither sqlite nor postgresql.")
    return {
        "ENGINE": "tenants.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or "") or env.text("DATABASE_PASSWORD"),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": VANISHED | dict(parse_qsl(parts.query)),
        "CONN_MAX_AGE": 60,
    }


DATABASES = {"default": database(env.text("DATABASE_URL", f"sqlite://{VAR / 'retune.sqlite3'}"))}
if env.boolean("RETUNE_AS_OWNER") and env.text("DATABASE_OWNER_URL"):
    # Migrations run as the tables' owner; everything else as a role that row-level security binds.
    DATABASES["default"] = database(env.text("DATABASE_OWNER_URL"))

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("es", "Español")]
USE_I18N = True
LOCALE_PATHS = [ROOT / "locale"]
USE_TZ = True
TIME_ZONE = "UTC"

# Counts of the rate limits. One process counts for itself; several share Redis.
if env.text("REDIS_URL"):
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": env.text("REDIS_URL")}}

STATIC_URL = "/static/"
STATICFILES_DIRS = [ROOT / "static"]
STATIC_ROOT = VAR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS = BASE_URL.startswith("https://")
if IS_HTTPS:
    # Browsers then take them from this very host only, over TLS: no neighbouring host can plant one.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
    # The proxy ends TLS and says so: links are https. Whoever lies in this header gets stricter checks, nothing else.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Accounts by django-allauth: password or a code by mail, then an app or a key; passkeys; a list of sessions.
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
ACCOUNT_ADAPTER = "agency.accounts.adapter.AccountAdapter"
USERSESSIONS_ADAPTER = "agency.accounts.noting.SessionsAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"  # The address was proven by the invitation that came to it.
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_LOGIN_BY_CODE_ENABLED = True
ACCOUNT_LOGIN_BY_CODE_TIMEOUT = 600
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_FORMS = {
    name: f"agency.accounts.forms.{form}"
    for name, form in {
        "login": "LoginForm",
        "request_login_code": "RequestLoginCodeForm",
        "confirm_login_code": "ConfirmLoginCodeForm",
        "change_password": "ChangePasswordForm",
        "set_password": "SetPasswordForm",
        "reauthenticate": "ReauthenticateForm",
    }.items()
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_TOTP_ISSUER = "Retune"
MFA_TOTP_TOLERANCE = 1  # One step for those who type slowly, as RFC 6238 has it.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = BASE_URL.startswith("http://")
MFA_FORMS = {
    name: f"agency.accounts.forms.{form}"
    for name, form in {
        "authenticate": "AuthenticateForm",
        "reauthenticate": "MfaReauthenticateForm",
        "activate_totp": "ActivateTOTPForm",
        "add_webauthn": "AddWebAuthnForm",
        "edit_webauthn": "EditWebAuthnForm",
    }.items()
}
# How many proxies stand before the web process: limits count by the address that the last trusted one saw.
ALLAUTH_TRUSTED_PROXY_COUNT = env.integer("RETUNE_TRUSTED_PROXIES", 0)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_500_000
FILE_UPLOAD_MAX_MEMORY_SIZE = 1_000_000

EMAIL_HOST = env.text("RETUNE_SMTP_HOST")
EMAIL_PORT = env.integer("RETUNE_SMTP_PORT", 25)
EMAIL_HOST_USER = env.text("RETUNE_SMTP_USER")
EMAIL_HOST_PASSWORD = env.text("RETUNE_SMTP_PASSWORD")
EMAIL_USE_TLS = env.boolean("RETUNE_SMTP_TLS")
EMAIL_TIMEOUT = 20
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend" if EMAIL_HOST else "agency.mail.files.EmailBackend"
EMAIL_FILE_PATH = VAR / "mail"
DEFAULT_FROM_EMAIL = env.text("RETUNE_MAIL_FROM", "retune@localhost")

# Engine. Leases in seconds, renewed by heartbeats: how long after its worker died a run or job is taken over.
REDIS_URL = env.text("REDIS_URL")
LEASE_S = env.number("RETUNE_LEASE_S", 60)
JOB_LEASE_S = env.number("RETUNE_JOB_LEASE_S", 60)
TICK_S = env.number("RETUNE_TICK_S", 1.0)
HEARTBEAT_URL = env.text("RETUNE_HEARTBEAT_URL")
# How many jobs of one client may run at a time in each of the queues cpu and gpu; 0: whatever workers there are.
JOBS_PER_CLIENT = env.integer("RETUNE_JOBS_PER_CLIENT", 0)
# Schedules of one minute start over so many seconds, each pipeline always at its own; 0: all at once.
SCHEDULE_SPREAD_S = env.integer("RETUNE_SCHEDULE_SPREAD_S", 900 if ENGINE == "celery" else 0)
RETRY_BASE_S = env.number("RETUNE_RETRY_BASE_S", 5)
JOB_TIMEOUT_S = 24 * 3600
Q_CLUSTER = {
    "name": "wakes",
    "orm": "default",
    "workers": 2,
    "poll": 0.1,
    "timeout": JOB_TIMEOUT_S,
    "retry": JOB_TIMEOUT_S + 3600,
    "ack_failures": True,
    "max_attempts": 1,
    "save_limit": -1,
    "queue_limit": 50,
    "catch_up": False,
    "scheduler": False,
    "label": "Retune",
    "ALT_CLUSTERS": {
        "jobs": {"workers": env.integer("RETUNE_JOB_WORKERS", 1), "poll": 0.2},
        "pushes": {"workers": 1, "poll": 0.2},
    },
}
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "default"

# The installation's own list of base models and of what children may use.
BASES = {
    "tiny": str(ROOT / "agency" / "demo" / "base" / "tiny"),
    "smollm2": str(ROOT / "var" / "bases" / "smollm2"),
} | env.pairs("RETUNE_BASES")
# Metrics of this installation beside the built-in ones, {name: "module:object"} (docs/reference/registries.md). Only
# this file and its environment name code: never the database, an upload or the API.
OWN_METRICS: dict[str, str] = {} | env.pairs("RETUNE_METRICS")
# Programs that train, by name: axolotl=/opt/axolotl/bin/python /opt/retune/axolotl.py; see
# docs/how-to/train-elsewhere.md. Only this file and its environment name commands.
TRAINER_COMMANDS: dict[str, str] = env.pairs("RETUNE_TRAINER_COMMANDS")
# How often a training service is asked how far it is, and after how many hours it is given up.
TRAINING_POLL_S = env.number("RETUNE_TRAINING_POLL_S", 30)
TRAINING_HOURS = env.number("RETUNE_TRAINING_HOURS", 72)
# Keys of judge endpoints by name, {"name": "key"}: rows only name them. RETUNE_JUDGE_KEYS_FILE reads them from a file.
JUDGE_KEYS: dict[str, str] = env.pairs("RETUNE_JUDGE_KEYS")
# The installation's own ways to redact kept bodies, beside the built-in ones: {name: "module:object"}.
OWN_REDACTIONS: dict[str, str] = {} | env.pairs("RETUNE_REDACTIONS")
CONVERTER_DIR = env.text("RETUNE_CONVERTER_DIR", str(ROOT / ".setup" / "converter"))
ARTIFACTS = VAR / "artifacts"
# An S3 bucket behind that folder, which then is a cache; without a bucket's name the folder is all there is.
ARTIFACTS_S3 = {
    "bucket_name": env.text("RETUNE_S3_BUCKET"),
    "endpoint_url": env.text("RETUNE_S3_ENDPOINT") or None,
    "region_name": env.text("RETUNE_S3_REGION") or None,
    "access_key": env.text("RETUNE_S3_ACCESS_KEY") or None,
    "secret_key": env.text("RETUNE_S3_SECRET_KEY") or None,
}
# How large that cache may grow, over all clients; 0 is without an end.
ARTIFACTS_CACHE_BYTES = env.integer("RETUNE_ARTIFACTS_CACHE_BYTES", 50 * 2**30)
SCRATCH = VAR / "scratch"
# The largest model file that somebody may bring.
BUNDLE_BYTES = env.integer("RETUNE_BUNDLE_BYTES", 64 * 2**30)
CHILD_MEMORY_BYTES = env.integer("RETUNE_CHILD_MEMORY_BYTES", 16 * 2**30)
CHILD_CPU_S = env.integer("RETUNE_CHILD_CPU_S", 12 * 3600)
CHILD_FILE_BYTES = env.integer("RETUNE_CHILD_FILE_BYTES", 32 * 2**30)
ALLOW_PRIVATE_HOSTS = env.boolean("RETUNE_ALLOW_PRIVATE_HOSTS", ENGINE != "celery")
TRAFFIC_MINUTE_DAYS = env.integer("RETUNE_TRAFFIC_MINUTE_DAYS", 14)
TRAFFIC_HOUR_DAYS = env.integer("RETUNE_TRAFFIC_HOUR_DAYS", 180)
# Where the embedded model host listens, when this server runs one: the wizard offers it.
EMBEDDED_HOST = env.text("RETUNE_EMBEDDED_HOST")
HOST_LOOK_S = env.number("RETUNE_HOST_LOOK_S", 60)
HOST_SAMPLE_DAYS = env.integer("RETUNE_HOST_SAMPLE_DAYS", 14)
EXCHANGE_RETENTION_DAYS = env.integer("RETUNE_EXCHANGE_RETENTION_DAYS", 30)

LOGGING = logging_of(env.choice("RETUNE_LOG_FORMAT", FORMATS), env.text("RETUNE_LOG_LEVEL", "INFO"))
# A collector of OpenTelemetry, such as http://collector:4318; without one, spans are not even made.
OTLP_URL = env.text("RETUNE_OTLP_URL")
PROMETHEUS_TOKEN = env.text("RETUNE_PROMETHEUS_TOKEN")
