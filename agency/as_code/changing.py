"""Settings that come from outside the pages: whether they can work here, what they change, and the new revision."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Unpack

from django.conf import settings
from django.utils.translation import gettext as _

from agency.as_code.document import BadDocument
from agency.as_code.possible import problems
from pipelines.heavy.preflight import folder_digest
from tenants.actions import MadeFrom, change_settings
from tenants.models import Pipeline, SettingsRevision
from tenants.models.settings_revision import changed
from tenants.pipeline_settings import PipelineSettings

Change = tuple[str, Any, Any]


def changes(pipeline: Pipeline, wanted: PipelineSettings) -> list[Change]:
    """(path, before, after) of every value that would differ."""
    held = pipeline.settings.model_dump(mode="json") if pipeline.revision else {}
    return changed(held, wanted.model_dump(mode="json"))


def apply(
    pipeline: Pipeline, wanted: PipelineSettings, actor: str, reason: str, now: datetime, **seen: Unpack[MadeFrom]
) -> SettingsRevision:
    """A new revision, or the one that holds where nothing differs.

    Raises BadDocument, TwoPeopleNeeded, and StaleSettings where another than `base` holds by then.
    """
    refuse(pipeline, wanted, now)
    return change_settings(pipeline, wanted.model_dump(mode="json"), actor, now, reason, **seen)


def refuse(pipeline: Pipeline, wanted: PipelineSettings, now: datetime) -> None:
    """Raises BadDocument with everything that this installation, or this client, does not have."""
    if found := [f"{path}: {sentence}" for path, sentence in problems(pipeline, wanted, now)]:
        raise BadDocument("\n".join(found))


def refuse_other_name(pipeline: Pipeline, name: str) -> None:
    """Raises BadDocument where the file would call the pipeline otherwise: no file renames one."""
    if name and name != pipeline.name:
        sentence = _("name: the pipeline is called %(here)s here and %(there)s in the file, which renames none.")
        raise BadDocument(sentence % {"here": pipeline.name, "there": name})


def refuse_other_base(name: str, digest: str) -> None:
    """Raises BadDocument where the base of this name is not the one that the file was written for."""
    here = base_digest(name) if digest else ""  # A base is gigabytes: it is read for whoever names one.
    if here and digest != here:
        words = {"name": name, "here": here[:12], "there": digest[:12]}
        raise BadDocument(_("base_digest: base %(name)s is %(here)s here, the file was written for %(there)s.") % words)


def base_digest(name: str) -> str:
    """Of a registered base that is here; else empty."""
    folder = Path(settings.BASES.get(name, ""))
    return folder_digest(folder) if settings.BASES.get(name) and (folder / "config.json").is_file() else ""
