"""Every setting once, read from the environment, with its reason.

Without any setting the portal runs on one machine against embedded servers and the local tenant
(`make run`). Production values are refused, with a sentence each, when they would be unsafe.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

# The local tenant's fixed identities (devtenant/README.md). A real tenant names its own through ENTRA_*.
LOCAL_TENANT_ID = "11111111-1111-4111-8111-111111111111"


class Environment(BaseSettings):
    """The environment variables that the portal reads; names are upper case, README lists them."""

    model_config = SettingsConfigDict(extra="ignore", case_sensitive=False)

    port: int = 8000
    tenant_port: int = 8400

    database_url: str = ""
    database_owner_url: str = ""
    database_worker_url: str = ""
    database_auditor_url: str = ""
    redis_url: str = ""

    clinicportal_mode: Literal["development", "production"] = "development"
    clinicportal_process: Literal["web", "worker", "owner", "auditor"] = "web"
    clinicportal_data_dir: Path = BASE_DIR / ".data"
    clinicportal_feeds_dir: str = ""
    clinicportal_base_url: str = ""
    clinicportal_secret_key: str = ""
    clinicportal_secret_key_fallbacks: str = ""
    clinicportal_encryption_keys: str = ""
    clinicportal_smtp_url: str = ""
    clinicportal_mail_from: str = "clinicportal <access@hospital.example>"
    clinicportal_operations_mail: str = ""
    clinicportal_time_zone: str = "Europe/London"
    clinicportal_proxies: int = Field(default=0, ge=0, le=5)
    clinicportal_national_systems: str = "https://fhir.nhs.uk/Id/nhs-number"
    clinicportal_look_ups_per_day: int = Field(default=10, ge=0)
    clinicportal_look_up_tries_per_day: int = Field(default=20, ge=1)
    clinicportal_directory_seconds: int = Field(default=300, ge=10)
    clinicportal_help: str = "Help: 0123 456 789, Monday to Friday, 8:00 to 18:00"

    entra_tenant_id: str = ""
    entra_cloud: Literal["global", "usgov", "dod", "china"] = "global"
    entra_authority: str = ""
    entra_token_authority: str = ""
    entra_graph_url: str = ""
    entra_ca_file: str = ""
    entra_client_id: str = ""
    entra_client_secret: str = ""
    entra_graph_client_id: str = ""
    entra_graph_client_secret: str = ""
    entra_graph_certificate_file: str = ""
    entra_graph_certificate_key_file: str = ""
    entra_graph_federated_token_file: str = ""
    entra_group_id: str = ""
    # What Graph allows by its documentation (entra.md §10): yours may allow less, never more. Invitations of the whole
    # tenant in 5 seconds, writes of this application in 150 seconds, resource units in 10 seconds (a tenant with fewer
    # than 50 users; 5000 and 8000 with more).
    entra_limit_invitations: int = Field(default=150, ge=1, le=150)
    entra_limit_writes: int = Field(default=3000, ge=1, le=3000)
    entra_limit_units: int = Field(default=3500, ge=10, le=8000)
    entra_invitations_per_day: int = Field(default=0, ge=0)
    entra_context_sign_in: str = Field(default="c1", pattern=r"^c[1-9][0-9]?$")
    entra_context_step_up: str = Field(default="c2", pattern=r"^c[1-9][0-9]?$")


env = Environment()
PRODUCTION = env.clinicportal_mode == "production"
PROCESS = env.clinicportal_process


# Each process holds the addresses that it uses, and no other's password.
NEEDED = {
    "web": ("database_url", "database_auditor_url", "redis_url"),
    "worker": ("database_worker_url", "redis_url"),
    "owner": (),
    "auditor": ("database_auditor_url",),
}


def refuse_unsafe(env: Environment) -> list[str]:
    """Return a sentence for each value that production must not run with, naming the variable and its purpose."""
    problems = []
    if len(env.clinicportal_secret_key) < 50:
        problems.append("Set CLINICPORTAL_SECRET_KEY to at least 50 random characters: it signs sessions and links.")
    if not env.clinicportal_encryption_keys:
        problems.append("Set CLINICPORTAL_ENCRYPTION_KEYS to one or more Fernet keys: they encrypt redemption links.")
    if not env.clinicportal_base_url.startswith("https://"):
        problems.append("Set CLINICPORTAL_BASE_URL to the https address of the portal: links and cookies rely on it.")
    for name in NEEDED[env.clinicportal_process]:
        if not getattr(env, name):
            problems.append(f"Set {name.upper()}: production never starts embedded servers.")
    if env.redis_url and not env.redis_url.startswith(("redis://", "rediss://")):
        problems.append("Set REDIS_URL to redis:// or rediss://: broker and cache both read it.")
    if env.clinicportal_process == "web" and not env.clinicportal_proxies:
        problems.append(
            "Set CLINICPORTAL_PROXIES to the number of TLS proxies in front: without it no request is https."
        )
    if not env.clinicportal_smtp_url.startswith("smtps://"):
        problems.append("Set CLINICPORTAL_SMTP_URL to smtps://user:password@host: mail leaves by implicit TLS only.")
    if env.clinicportal_process == "worker" and "@" not in env.clinicportal_operations_mail:
        problems.append(
            "Set CLINICPORTAL_OPERATIONS_MAIL to your operators' address: the portal writes there when it needs them."
        )
    for name in ("entra_tenant_id", "entra_client_id", "entra_group_id"):
        if not getattr(env, name):
            problems.append(f"Set {name.upper()}: sign-in and invitations need the tenant of your organisation.")
    if env.clinicportal_process == "web" and not env.entra_client_secret:
        problems.append("Set ENTRA_CLIENT_SECRET for web: it proves the portal to your tenant when people sign in.")
    if env.entra_tenant_id in ("common", "organizations", "consumers"):
        problems.append("Set ENTRA_TENANT_ID to the id of one tenant: guests must sign in at yours, not at any.")
    problems += refuse_graph_credential(env)
    return problems


GRAPH_CREDENTIALS = ("entra_graph_client_secret", "entra_graph_certificate_file", "entra_graph_federated_token_file")


def refuse_graph_credential(env: Environment) -> list[str]:
    """The worker proves itself to the tenant in exactly one way, and no other process can."""
    given = [name.upper() for name in GRAPH_CREDENTIALS if getattr(env, name)]
    if env.clinicportal_process == "web" and given:
        return [f"Unset {' and '.join(given)} for web: only the worker may hold the Graph credential."]
    if env.clinicportal_process != "worker":
        return []
    if not env.entra_graph_client_id or not given:
        return [
            "Set ENTRA_GRAPH_CLIENT_ID and one of ENTRA_GRAPH_CERTIFICATE_FILE, ENTRA_GRAPH_FEDERATED_TOKEN_FILE and "
            "ENTRA_GRAPH_CLIENT_SECRET for the worker: it invites guests."
        ]
    if len(given) > 1:
        return [f"Keep one of {' and '.join(given)}: with several nobody knows which one proves the worker."]
    if bool(env.entra_graph_certificate_file) != bool(env.entra_graph_certificate_key_file):
        return [
            "Set ENTRA_GRAPH_CERTIFICATE_FILE and ENTRA_GRAPH_CERTIFICATE_KEY_FILE together: certificate and private "
            "key, both as PEM."
        ]
    return []


if PRODUCTION:
    if problems := refuse_unsafe(env):
        raise ImproperlyConfigured("\n".join(problems))
elif env.entra_tenant_id not in ("", LOCAL_TENANT_ID):
    raise ImproperlyConfigured(
        "Set CLINICPORTAL_MODE=production: development settings must not meet a real tenant (ENTRA_TENANT_ID)."
    )

# ---------------------------------------------------------------- addresses

BASE_URL = env.clinicportal_base_url or f"http://portal.localhost:{env.port}"
HTTPS = BASE_URL.startswith("https://")
DEBUG = False  # tracebacks show values of patients; development reads them in the log
ALLOWED_HOSTS = [urlsplit(BASE_URL).hostname or ""]
if not PRODUCTION:
    ALLOWED_HOSTS += ["127.0.0.1", "localhost", "portal.localhost"]
DATA_DIR = env.clinicportal_data_dir.resolve()
# Where feeds leave their files, a folder for each source: the worker reads and moves them, web adds uploads.
FEEDS_DIR = Path(env.clinicportal_feeds_dir or DATA_DIR / "feeds")

# ---------------------------------------------------------------- database


def database(url: str, **options: Any) -> dict[str, Any]:
    """Translate postgresql://user:password@host:port/name?option=value into Django's terms."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.pop("host", parts.hostname or ""),
        "PORT": str(query.pop("port", parts.port or "")),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        # Statements are kept prepared only where the code asks for it (records/compiled.py).
        "OPTIONS": {
            "connect_timeout": 3,
            "prepare_threshold": 5,
            "application_name": f"clinicportal {PROCESS}",
            **query,
            **options,
        },
    }


def urls() -> dict[str, str]:
    """The address of each part: from the environment, else of the embedded servers in the data directory."""
    given = {
        "web": env.database_url,
        "owner": env.database_owner_url,
        "worker": env.database_worker_url,
        "auditor": env.database_auditor_url,
        "redis": env.redis_url,
        "cache": env.redis_url,
    }
    if PRODUCTION or (given["web"] and given["redis"]):
        return given
    from clinicportal import embedded  # costs nothing where servers are given

    local = embedded.services()
    defaults = {
        "web": local.database_url,
        "owner": local.database_owner_url,
        "worker": local.database_worker_url,
        "auditor": local.database_auditor_url,
        "redis": local.redis_url,
        "cache": local.cache_url,
    }
    if given["web"]:  # a database of one's own comes with roles of its own
        return {**given, "redis": defaults["redis"], "cache": defaults["cache"]}
    return {name: given[name] or value for name, value in defaults.items()}


URLS = urls()
DATABASES = {"default": database(URLS[PROCESS])}
if PROCESS == "web" and URLS["auditor"]:
    # Only the audit readers use this connection (clinicportal/audit.py); it reads the trail and nothing else.
    DATABASES["auditor"] = database(URLS["auditor"])
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = URLS["redis"]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": URLS["cache"]}}

# ---------------------------------------------------------------- applications

INSTALLED_APPS = [
    "clinicportal",
    "records",
    "partners",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django_htmx",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "clinicportal.middleware.RequestFacts",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "clinicportal.sessions.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "clinicportal.middleware.SignInRequired",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "clinicportal.middleware.Refusals",
    "records.middleware.SamePatient",
]

ROOT_URLCONF = "clinicportal.urls"
WSGI_APPLICATION = "clinicportal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "APP_DIRS": True,
        "OPTIONS": {
            "environment": "clinicportal.jinja.environment",
            "context_processors": ["clinicportal.context.page", "django.contrib.messages.context_processors.messages"],
        },
    },
    # allauth asks for this engine; none of its pages is reachable.
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    },
]
FORM_RENDERER = "clinicportal.jinja.NHSRenderer"

LANGUAGE_CODE = "en-gb"
LANGUAGES = [("en-gb", "English")]  # the one that there is: Django's own texts come in it too
TIME_ZONE = env.clinicportal_time_zone
USE_TZ = True
USE_I18N = True

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},  # nothing is uploaded to disk
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = not PRODUCTION

# ---------------------------------------------------------------- secrets

SECRET_KEY = env.clinicportal_secret_key or "development only: " + "not-a-secret-" * 4
SECRET_KEY_FALLBACKS = [key for key in env.clinicportal_secret_key_fallbacks.split(",") if key]
# Fernet keys, newest first (cryptography.fernet.MultiFernet): the first encrypts, all decrypt.
ENCRYPTION_KEYS = [key for key in env.clinicportal_encryption_keys.split(",") if key] or [
    "ZGV2ZWxvcG1lbnQtb25seS1ub3QtYS1zZWNyZXQtISE="
]

# ---------------------------------------------------------------- the browser

# SameSite=Lax: with Strict the return from the identity provider would arrive without the session.
SESSION_ENGINE = "clinicportal.sessions"
SESSION_COOKIE_NAME = "__Host-session" if HTTPS else "session"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "csrf"
CSRF_FAILURE_VIEW = "clinicportal.views.csrf_failure"
SESSION_IDLE_SECONDS = 15 * 60
SESSION_ABSOLUTE_SECONDS = 8 * 3600
SESSION_COOKIE_AGE = SESSION_ABSOLUTE_SECONDS
SESSION_EXPIRE_AT_BROWSER_CLOSE = True

SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^health/"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.clinicportal_proxies else None
SECURE_HSTS_SECONDS = 63_072_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500
DATA_UPLOAD_MAX_NUMBER_FILES = 1
FILE_UPLOAD_HANDLERS = ["clinicportal.uploads.WhereAsked"]  # no file anywhere but where a view asks for it

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "manifest-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "object-src": ["'none'"],
    }
}
PERMISSIONS_POLICY: dict[str, list[str]] = {
    name: [] for name in ("camera", "microphone", "geolocation", "payment", "usb", "display-capture")
}

# ---------------------------------------------------------------- sign-in

AUTH_USER_MODEL = "clinicportal.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"


def graph_credential_given() -> bool:
    return any(getattr(env, name) for name in GRAPH_CREDENTIALS)


LOCAL = {
    "tenant_id": LOCAL_TENANT_ID,
    "authority": f"http://login.localhost:{env.tenant_port}/{LOCAL_TENANT_ID}",
    "token_authority": f"https://localhost:{env.tenant_port + 1}/{LOCAL_TENANT_ID}",
    "graph_url": f"https://localhost:{env.tenant_port + 1}/v1.0",
    "ca_file": str(DATA_DIR / "tenant" / "ca.pem"),
    "client_id": "22222222-2222-4222-8222-222222222222",
    "client_secret": "devtenant-signin-secret",
    "graph_client_id": "33333333-3333-4333-8333-333333333333",
    "graph_client_secret": "devtenant-graph-secret" if PROCESS != "web" and not graph_credential_given() else "",
    "graph_certificate_file": "",
    "graph_certificate_key_file": "",
    "graph_federated_token_file": "",
    "group_id": "44444444-4444-4444-8444-444444444444",
}
CLOUDS = {
    # Sign-in host and Graph host; tokens of one cloud are worth nothing in another (entra.md §14).
    "global": ("login.microsoftonline.com", "graph.microsoft.com"),
    "usgov": ("login.microsoftonline.us", "graph.microsoft.us"),
    "dod": ("login.microsoftonline.us", "dod-graph.microsoft.us"),
    "china": ("login.partner.microsoftonline.cn", "microsoftgraph.chinacloudapi.cn"),
}


def microsoft(cloud: str, tenant_id: str) -> dict[str, str]:
    """The addresses of one of Microsoft's clouds."""
    login, graph = CLOUDS[cloud]
    authority = f"https://{login}/{tenant_id}"
    return {"authority": authority, "token_authority": authority, "graph_url": f"https://{graph}/v1.0", "ca_file": ""}


MICROSOFT = microsoft(env.entra_cloud, env.entra_tenant_id)


def entra(name: str) -> str:
    """One ENTRA_* value: as given, else of Microsoft's cloud in production and of the local tenant elsewhere."""
    return getattr(env, f"entra_{name}") or (MICROSOFT.get(name, "") if PRODUCTION else LOCAL[name])


ENTRA = {name: entra(name) for name in LOCAL}
ENTRA_LIMIT_INVITATIONS = env.entra_limit_invitations
ENTRA_LIMIT_WRITES = env.entra_limit_writes
ENTRA_LIMIT_UNITS = env.entra_limit_units
# Some tenants allow far fewer invitations than the documents say, and block a tenant that goes on (0: no budget).
ENTRA_INVITATIONS_PER_DAY = env.entra_invitations_per_day
# Authentication contexts (Conditional Access): which strength each kind of act needs. A policy has to be bound to each.
ENTRA_CONTEXT_SIGN_IN = env.entra_context_sign_in
ENTRA_CONTEXT_STEP_UP = env.entra_context_step_up
STEP_UP = dict.fromkeys(  # act -> context
    ("approve", "rights", "confirm", "let_in", "export", "by_hand"), ENTRA_CONTEXT_STEP_UP
)
STEP_UP["emergency_access"] = ENTRA_CONTEXT_STEP_UP
STEP_UP["emergency_access_weaker"] = ENTRA_CONTEXT_SIGN_IN  # where the stronger one can't be met; alerts say so
CONFIRM = "partners.stepup.confirm"  # where the middleware sends somebody whose proof is missing
STEP_UP_HOLDS_SECONDS = 15 * 60  # how long one confirmation serves further acts
STEP_UP_FRESH_SECONDS = 5 * 60  # how old the sign-in behind it may be, and how long somebody may take over it

SOCIALACCOUNT_ONLY = True
SOCIALACCOUNT_ADAPTER = "partners.signin.Adapter"
ACCOUNT_ADAPTER = "partners.signin.AccountAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = False
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_LOGIN_ON_GET = False
SOCIALACCOUNT_REQUESTS_TIMEOUT = 5
SOCIALACCOUNT_PROVIDERS = {
    "entra": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "entra",
                "name": "Entra ID",
                "client_id": ENTRA["client_id"],
                "secret": ENTRA["client_secret"],
                "settings": {"server_url": f"{ENTRA['authority']}/v2.0", "fetch_userinfo": False, "uid_field": "oid"},
            }
        ],
    }
}
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_USER_MODEL_EMAIL_FIELD = "email"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*"]
ALLAUTH_TRUSTED_PROXY_COUNT = env.clinicportal_proxies

# ---------------------------------------------------------------- mail

smtp = urlsplit(env.clinicportal_smtp_url or f"smtp://127.0.0.1:{env.tenant_port + 2}")
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST, EMAIL_PORT = smtp.hostname or "", smtp.port or 465
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(smtp.username or ""), unquote(smtp.password or "")
EMAIL_USE_SSL = smtp.scheme == "smtps"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.clinicportal_mail_from
OPERATIONS_MAIL = env.clinicportal_operations_mail or "operator@hospital.example"
HELP_TEXT = env.clinicportal_help

# ---------------------------------------------------------------- work and logs

PROVISIONING_VISIBLE_MINUTES = 15  # how long the directory may take to show a new guest (reference: replication)
INVITATION_DAYS = 14
# How often the directory is asked what changed with our guests: accepted, removed, disabled. Fewer seconds notice
# sooner and cost one Graph call each time.
DIRECTORY_SECONDS = env.clinicportal_directory_seconds

# ---------------------------------------------------------------- looking up patients

# Identifier systems of numbers that the whole country knows a patient by, comma-separated; none: only record numbers.
NATIONAL_SYSTEMS = [system.strip() for system in env.clinicportal_national_systems.split(",") if system.strip()]
# How many patients a guest can look up in 24 hours, and how many searches of theirs may find nobody. Small: each is a
# patient whom no feed ties to them, and guessing must not pay.
LOOK_UPS_PER_DAY = env.clinicportal_look_ups_per_day
LOOK_UP_TRIES_PER_DAY = env.clinicportal_look_up_tries_per_day

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "clinicportal.logs.formatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["console"], "level": os.environ.get("CLINICPORTAL_LOG_LEVEL", "INFO")},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "django.db.backends": {"level": "WARNING"},
        # What these tell when asked for more are whole addresses: people's in filters, and tokens of delta queries.
        "urllib3": {"level": "WARNING"},
        "msal": {"level": "WARNING"},
    },
}
