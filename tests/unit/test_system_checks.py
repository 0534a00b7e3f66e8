"""System checks: each fault that they know is named, with what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.exceptions import ImproperlyConfigured

from agency import checks, env

FAULTS: dict[str, tuple[Callable[..., list[CheckMessage]], dict[str, Any]]] = {
    "retune.E001": (checks.secret_key, {"SECRET_KEY": "short"}),
    "retune.E002": (checks.engine, {"ENGINE": "carrier-pigeon"}),
    "retune.E003": (checks.production_stores, {"ENGINE": "celery", "REDIS_URL": "redis://localhost"}),
    "retune.W007": (checks.converter, {"CONVERTER_DIR": "/nowhere"}),
    "retune.W008": (checks.bases, {"BASES": {"tiny": "/nowhere"}}),
    "retune.W009": (checks.transport, {"ENGINE": "celery", "BASE_URL": "http://retune.example"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_a_hint(settings: Any, name: str) -> None:
    check, changes = FAULTS[name]
    for setting, value in changes.items():
        setattr(settings, setting, value)

    [found] = check()

    assert found.id == name
    assert found.hint


def test_a_production_installation_needs_its_broker(settings: Any) -> None:
    settings.ENGINE, settings.REDIS_URL = "celery", ""

    assert "retune.E004" in {message.id for message in checks.production_stores()}


def test_djangos_own_postgresql_backend_is_refused(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.postgresql")

    assert [message.id for message in checks.postgresql_backend()] == ["retune.E005"]


def test_a_base_that_is_fetched_on_demand_is_not_missed(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    settings.BASES = {"tiny": str(tmp_path), "smollm2": "/nowhere"}

    assert checks.bases() == []


def test_the_test_settings_have_no_error() -> None:
    assert [message for message in run_checks() if message.level >= 40] == []


@pytest.mark.parametrize("value", ["qwen=/data/qwen,/data/bases/other", "qwen=/data/qwen,=/data/bases/other"])
def test_a_misspelt_list_is_named_without_what_may_be_a_key(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("RETUNE_JUDGE_KEYS", value)

    with pytest.raises(ImproperlyConfigured) as refused:
        env.pairs("RETUNE_JUDGE_KEYS")

    assert str(refused.value) == "RETUNE_JUDGE_KEYS: entry 2 of 2 is not of the form name=value."


def test_a_value_of_a_list_may_hold_the_sign_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETUNE_BASES", "qwen=/data/a=b, phi=/data/phi")

    assert env.pairs("RETUNE_BASES") == {"qwen": "/data/a=b", "phi": "/data/phi"}
