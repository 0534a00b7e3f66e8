"""The page of a host: what it tells, and what is kept without being shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client as Browser
from django.urls import reverse

from pipelines.fleet import look
from tenants.models import Client, Host
from tests import factories
from tests.unit.outbound.answering import says, server
from tests.unit.outbound.certificates import Authority

HERE = "/c/acorn/hosts/shop/"


@pytest.fixture
def row(acorn: Client) -> Host:
    return factories.make_host(acorn)


def kept(acorn: Client) -> Host:
    with factories.inside(acorn):
        return Host.objects.get()


def test_a_host_that_answered_shows_its_version_and_models(engineer: Browser, acorn: Client) -> None:
    names = b'"models": [{"name": "llama:1b", "digest": "ab12cd34ef56", "size": 1300000000}]'
    with server(says(b'{"version": "0.33.0", ' + names + b"}")) as port:
        row = factories.make_host(acorn, url=f"http://127.0.0.1:{port}")
        with factories.inside(acorn):
            look.keep(row, look.ask(row), factories.NOW)

    text = engineer.get(HERE).text

    assert "0.33.0" in text and "llama:1b" in text and "not ours" in text and "1.2" in text


def test_a_secret_is_kept_sealed_and_never_shown_again(engineer: Browser, acorn: Client, row: Host) -> None:
    response = engineer.post(HERE + "access/", {"kind": "bearer", "secret": "s3cret-token"}, follow=True)

    assert response.status_code == 200 and "Authorization" in response.text
    assert "s3cret-token" not in response.text
    assert kept(acorn).secret()["value"] == "Bearer s3cret-token"
    assert "s3cret-token" not in engineer.get(reverse("audit", args=["acorn"])).text


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": "bearer", "secret": ""}, "secret"),
        ({"kind": "header", "header": "Host", "secret": "x"}, "header"),
        ({"kind": "none", "certificate": "no pem"}, "key"),
        ({"kind": "none", "certificate": Authority().issue("a.example").certificate, "key": "no pem"}, "key"),
        ({"kind": "surprise"}, "kind"),
    ],
)
def test_what_cannot_be_used_is_refused_beside_its_field(
    engineer: Browser, acorn: Client, row: Host, given: dict[str, str], field: str
) -> None:
    response = engineer.post(HERE + "access/", given)

    assert response.status_code == 422 and field in response.context["access_form"].errors
    assert kept(acorn).sealed == ""


def test_a_refused_form_does_not_give_the_key_back(engineer: Browser, row: Host) -> None:
    pair = Authority().issue("a.example")
    given = {"kind": "bearer", "secret": "s3cret-token", "certificate": "no pem", "key": pair.key}

    assert "s3cret-token" not in engineer.post(HERE + "access/", given).text
    assert pair.key.splitlines()[1] not in engineer.post(HERE + "access/", given).text


def test_a_host_is_added_with_what_it_wants_to_see(engineer: Browser, acorn: Client) -> None:
    def proxy(handler: Any) -> None:
        says(b'{"version": "0.33.0", "models": []}', 200 if handler.headers.get("X-Key") == "s3cret" else 401)(handler)

    with server(proxy) as port:
        given = {"name": "shop", "url": f"http://127.0.0.1:{port}"}
        refused = engineer.post(reverse("add-host", args=["acorn"]), given)
        shown = {"kind": "header", "header": "X-Key", "secret": "s3cret"}
        engineer.post(reverse("add-host", args=["acorn"]), given | shown)

    assert refused.status_code == 422
    assert kept(acorn).access == ["X-Key"] and kept(acorn).facts["version"] == "0.33.0"


def test_terms_are_kept_and_noted(engineer: Browser, acorn: Client, row: Host) -> None:
    engineer.post(HERE + "terms/", {"memory_gib": "2.5", "drift_policy": "repair", "is_enabled": "on"})

    assert kept(acorn).memory_bytes == 2.5 * 2**30 and kept(acorn).drift_policy == "repair"
    assert "host.change" in engineer.get(reverse("audit", args=["acorn"])).text


def test_a_drain_is_ordered_with_a_reason_and_shown(engineer: Browser, row: Host) -> None:
    assert engineer.post(HERE + "drain/", {"reason": ""}).status_code == 422
    assert "new memory" in engineer.post(HERE + "drain/", {"reason": "new memory"}, follow=True).text
    assert "drained" in engineer.get(reverse("client", args=["acorn"])).text
    assert "not drained" not in engineer.post(HERE + "undrain/", {"reason": "done"}, follow=True).text


def test_a_viewer_is_offered_no_order(viewer: Browser, row: Host) -> None:
    text = viewer.get(HERE).text

    assert "<form" not in text.split("<main")[1] and "Drain" not in text


def test_the_command_shows_drains_and_seals(acorn: Client, row: Host, tmp_path: Path, capsys: Any) -> None:
    call_command("hosts", "acorn")
    assert "shop\thttp://127.0.0.1:9" in capsys.readouterr().out

    call_command("hosts", "acorn", "shop", "--drain", "--reason", "new memory")
    assert "drained" in capsys.readouterr().out

    (tmp_path / "access.json").write_text('{"header": "X-Key", "value": "s3cret"}')
    call_command("hosts", "acorn", "shop", "--access", str(tmp_path / "access.json"))
    assert "s3cret" not in capsys.readouterr().out and kept(acorn).secret()["value"] == "s3cret"

    for wrong in (["nobody"], ["acorn", "nowhere"], ["acorn", "shop", "--drain"], ["acorn", "shop", "--access", "/no"]):
        with pytest.raises(CommandError):
            call_command("hosts", *wrong)
