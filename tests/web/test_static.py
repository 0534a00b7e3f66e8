"""Static files: production serves them by manifest, so every one that a page or a style sheet names must be there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.management import call_command

NAMED = re.compile(r"""{%\s*static\s+["']([^"']+)["']""")


def test_every_static_file_that_a_template_names_is_there() -> None:
    templates = Path(settings.ROOT, "templates").rglob("*.html")
    named = {name for path in templates for name in NAMED.findall(path.read_text())}

    assert [name for name in sorted(named) if finders.find(name) is None] == []


def test_the_manifest_can_be_made(settings: Any, tmp_path: Path) -> None:
    backend = {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": backend}
    settings.STATIC_ROOT = tmp_path

    call_command("collectstatic", interactive=False, verbosity=0)

    assert (tmp_path / "staticfiles.json").is_file()
