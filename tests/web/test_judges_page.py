"""Judge models: allowed with consent only, taken back at any time, both in the ledger."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from tenants.models import AuditEvent, Client, JudgeEndpoint
from tests import factories

HERE = reverse("judges", args=["acorn"])
FORM = {"name": "wise", "kind": "openai", "url": "http://127.0.0.1:9/v1/", "model": "wise-2", "consent": "on"}


def test_a_judge_is_allowed_and_taken_back(engineer: Browser, acorn: Client) -> None:
    engineer.post(HERE, FORM)
    text = engineer.get(HERE).text
    assert "http://127.0.0.1:9/v1" in text and "wise-2" in text and "engineer@north.example" in text

    engineer.post(reverse("withdraw-judge", args=["acorn", "wise"]))

    with factories.inside(acorn):
        assert JudgeEndpoint.objects.get().withdrawn_by == "engineer@north.example"
        assert list(
            AuditEvent.objects.filter(verb__startswith="judge").order_by("seq").values_list("verb", flat=True)
        ) == [
            "judge.allow",
            "judge.withdraw",
        ]
    assert "taken back by" in engineer.get(HERE).text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"consent": ""}, "required"),
        ({"url": "ftp://x.example"}, "must begin with http"),
        ({"url": "http://me:secret@127.0.0.1/v1"}, "no user name or password"),
        ({"key_name": "unknown"}, "not one of the available choices"),
        ({"name": "Wise One"}, "valid value"),
    ],
)
def test_what_cannot_be_allowed_is_refused(
    engineer: Browser, acorn: Client, change: dict[str, str], sentence: str
) -> None:
    response = engineer.post(HERE, FORM | change)

    assert response.status_code == 422 and sentence in response.text
    with factories.inside(acorn):
        assert not JudgeEndpoint.objects.exists()


def test_a_private_address_is_refused_where_the_installation_says_so(
    engineer: Browser, acorn: Client, settings: object
) -> None:
    settings.ALLOW_PRIVATE_HOSTS = False  # type: ignore[attr-defined]

    assert "not a public address" in engineer.post(HERE, FORM).text


def test_a_name_is_free_again_after_it_was_taken_back(engineer: Browser, acorn: Client) -> None:
    engineer.post(HERE, FORM)
    assert "already" in engineer.post(HERE, FORM).text
    engineer.post(reverse("withdraw-judge", args=["acorn", "wise"]))
    engineer.post(HERE, FORM)

    with factories.inside(acorn):
        assert JudgeEndpoint.objects.filter(withdrawn_at=None).count() == 1
