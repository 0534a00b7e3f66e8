"""Training services: an agency's seats with sealed keys, and each client's consent."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from agency.as_code.possible import problems
from tenants import rotation, scope
from tenants.crypto import sealing
from tenants.models import AuditEvent, Client, Pipeline, TrainingConsent, TrainingService
from tenants.pipeline_settings import PipelineSettings
from tests import factories

SEATS = reverse("training-services")
CONSENT = reverse("client-training", args=["acorn"])
FORM = {"name": "studio", "url": "http://127.0.0.1:9/v1/", "model": "tiny-there", "base": "tiny", "key": "sk-planted"}


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    return factories.make_pipeline(acorn)


def trainer(pipeline: Pipeline, name: str, base: str = "tiny") -> list[str]:
    """What stands against this trainer."""
    body = pipeline.settings.model_dump(mode="json")
    wanted = PipelineSettings.model_validate(body | {"recipe": body["recipe"] | {"trainer": name, "base": base}})
    with factories.inside(pipeline):
        return [text for path, text in problems(pipeline, wanted, timezone.now()) if path == "recipe.trainer"]


def test_a_seat_is_added_and_its_key_is_shown_nowhere(engineer: Browser, acorn: Client) -> None:
    engineer.post(SEATS, FORM)
    page = engineer.get(SEATS).text
    assert "http://127.0.0.1:9/v1" in page and "with a key" in page and "sk-planted" not in page
    with scope.agency_scope(acorn.agency_id):
        row = TrainingService.objects.get()
        assert "sk-planted" not in row.sealed and row.secret() == {"key": "sk-planted"}
        assert "sk-planted" not in repr(list(AuditEvent.objects.values_list("detail", flat=True)))
    engineer.post(reverse("withdraw-training", args=["studio"]))
    assert "withdrawn by" in engineer.get(SEATS).text


def test_a_new_secret_key_reseals_it(engineer: Browser, acorn: Client) -> None:
    engineer.post(SEATS, FORM)
    done = rotation.reseal("owner", timezone.now())
    assert done.unreadable == () and done.count >= 1
    with scope.agency_scope(acorn.agency_id):
        row = TrainingService.objects.get()
        assert sealing.unseal(row.place, row.sealed) == {"key": "sk-planted"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"url": "ftp://x.example"}, "must begin with http"),
        ({"url": "http://me:secret@127.0.0.1/v1"}, "no user name or password"),
        ({"key": "two\nlines"}, "one line of plain ASCII"),
        ({"base": "unknown"}, "not one of the available choices"),
        ({"name": "My Studio"}, "valid value"),
    ],
)
def test_a_seat_that_cannot_work_is_refused(
    engineer: Browser, acorn: Client, change: dict[str, str], sentence: str
) -> None:
    answer = engineer.post(SEATS, FORM | change)
    assert answer.status_code == 422 and sentence in answer.text
    with scope.agency_scope(acorn.agency_id):
        assert not TrainingService.objects.exists()


def test_a_client_allows_a_seat_and_takes_it_back(engineer: Browser, support: Pipeline) -> None:
    engineer.post(SEATS, FORM)
    assert engineer.post(CONSENT, {"service": "studio"}).status_code == 422, "the box is the consent"
    engineer.post(CONSENT, {"service": "studio", "consent": "on"})
    assert trainer(support, "remote:studio") == []
    assert '"remote:studio"' in engineer.get(reverse("settings", args=["acorn", "support"])).text
    engineer.post(reverse("take-back-training", args=["acorn", "studio"]))
    with factories.inside(support):
        assert TrainingConsent.objects.get().withdrawn_by == "engineer@north.example"
        verbs = AuditEvent.objects.filter(verb__startswith="training.").values_list("verb", flat=True)
        assert set(verbs) == {"training.allow", "training.take_back"}
    assert "taken back by" in engineer.get(CONSENT).text
    assert "client does not allow" in trainer(support, "remote:studio")[0]


def test_settings_refuse_a_trainer_that_cannot_work(engineer: Browser, support: Pipeline) -> None:
    engineer.post(SEATS, FORM)
    engineer.post(CONSENT, {"service": "studio", "consent": "on"})
    assert "trains the base tiny" in trainer(support, "remote:studio", "smollm2")[0]
    assert "no training service" in trainer(support, "remote:other")[0]
    assert "bringing its file" in trainer(support, "import")[0]
    assert "not registered here" in trainer(support, "command:axolotl")[0]
    assert "not registered here" in trainer(support, "oracle")[0]


def test_a_command_is_chosen_by_the_name_that_the_operator_gave_it(support: Pipeline, settings: object) -> None:
    settings.TRAINER_COMMANDS = {"axolotl": "/opt/axolotl"}  # type: ignore[attr-defined]
    assert trainer(support, "command:axolotl") == []


def test_another_agencys_seat_is_not_seen(engineer: Browser, stranger: Browser, support: Pipeline) -> None:
    engineer.post(SEATS, FORM)
    assert "127.0.0.1:9" not in stranger.get(SEATS).text
    assert stranger.post(reverse("withdraw-training", args=["studio"])).status_code == 404
