"""System checks: what would go wrong at three in the morning is said at start, with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections

from agency import env
from pipelines import metrics
from pipelines.engine.dispatch import ENGINES
from tenants.postgresql.roles import is_unbound

# Fetched by a make step of its own, so that its absence is no news.
OPTIONAL_BASES = {"smollm2"}
SECRET_KEY_CHARS = 40


def _is_production() -> bool:
    return bool(settings.ENGINE == "celery")


@register(Tags.security)
def secret_key(**_: Any) -> list[CheckMessage]:
    if len(settings.SECRET_KEY) >= SECRET_KEY_CHARS:
        return []
    hint = "Name a file with 50 random characters in RETUNE_SECRET_KEY_FILE."
    return [Error(f"The secret key has fewer than {SECRET_KEY_CHARS} characters.", hint=hint, id="retune.E001")]


@register()
def engine(**_: Any) -> list[CheckMessage]:
    if settings.ENGINE in ENGINES:
        return []
    hint = f"Set RETUNE_ENGINE to one of {', '.join(ENGINES)}."
    return [Error(f"There is no engine {settings.ENGINE!r}.", hint=hint, id="retune.E002")]


@register()
def production_stores(**_: Any) -> list[CheckMessage]:
    """Several machines share neither a SQLite file nor a broker that does not exist."""
    found: list[CheckMessage] = []
    if not _is_production():
        return found
    if settings.DATABASES["default"]["ENGINE"] != "tenants.postgresql":
        hint = "Set DATABASE_URL=postgresql://... (docs/how-to)."
        found.append(Error("RETUNE_ENGINE=celery needs PostgreSQL.", hint=hint, id="retune.E003"))
    if not settings.REDIS_URL:
        hint = "Set REDIS_URL=redis://:password@host:6379/0."
        found.append(Error("RETUNE_ENGINE=celery needs Redis.", hint=hint, id="retune.E004"))
    return found


@register()
def postgresql_backend(**_: Any) -> list[CheckMessage]:
    """Django's own backend would leave the scope out, and row-level security would then hide every row."""
    if settings.DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
        return []
    hint = 'Use ENGINE "tenants.postgresql".'
    return [Error("The PostgreSQL backend does not carry the tenant scope.", hint=hint, id="retune.E005")]


@register(Tags.database)
def app_role(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Only with `check --database default`, or in `migrate`, which is the owner's."""
    if not databases or env.boolean("RETUNE_AS_OWNER"):
        return []
    unbound = [name for name in databases if connections[name].vendor == "postgresql" and is_unbound(connections[name])]
    hint = "Let DATABASE_URL sign in as the app role that `manage.py setup_postgresql` makes."
    message = "This database role is not bound by row-level security"
    return [Error(f"{message} (database {name}).", hint=hint, id="retune.E006") for name in unbound]


@register()
def converter(**_: Any) -> list[CheckMessage]:
    if (Path(settings.CONVERTER_DIR) / "convert_hf_to_gguf.py").is_file():
        return []
    hint = "Run `make setup`, or set RETUNE_CONVERTER_DIR. Runs stop before training without it."
    return [Warning(f"No GGUF converter in {settings.CONVERTER_DIR}.", hint=hint, id="retune.W007")]


@register()
def bases(**_: Any) -> list[CheckMessage]:
    folders = {name: Path(folder) for name, folder in settings.BASES.items() if name not in OPTIONAL_BASES}
    missing = [name for name, folder in folders.items() if not (folder / "config.json").is_file()]
    hint = "Each base in RETUNE_BASES is a Hugging Face folder with a config.json."
    return [Warning(f"Base model {name}: nothing in {folders[name]}.", hint=hint, id="retune.W008") for name in missing]


@register(Tags.security)
def transport(**_: Any) -> list[CheckMessage]:
    if not _is_production() or settings.BASE_URL.startswith("https://"):
        return []
    hint = "Put TLS before it and set RETUNE_BASE_URL=https://..."
    return [Warning("Sessions travel unencrypted.", hint=hint, id="retune.W009")]


@register()
def own_metrics(**_: Any) -> list[CheckMessage]:
    hint = "Each entry of OWN_METRICS (RETUNE_METRICS) is name=module:object; the object has the members of a Metric."
    return [
        Error(f"Metric {name} does not load: {why}.", hint=hint, id="retune.E010")
        for name in settings.OWN_METRICS
        if (why := _fault_of(name))
    ]


def _fault_of(name: str) -> str:
    try:
        found = metrics.load(name)
    except (ImportError, AttributeError) as error:
        return str(error)
    missing = [member for member in ("score", "corpus", "higher_is_better") if not hasattr(found, member)]
    return f"it has no {', '.join(missing)}" if missing else ""
