"""The wizard: each step saved as it is made, skipped at will, wrong input kept; tests that save nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser
from django.urls import reverse

from agency.mail import trial
from pipelines.models import Batch, Example
from tenants.models import Agency, Client, EvalSet, Host, Pipeline, Role
from tests import factories
from tests.smtp import serving

ROWS = "\n".join(f'{{"input": "Where is parcel {n}?", "output": "{factories.LABELS[n % 3]}"}}' for n in range(150))
PIPELINE = {"name": "Support", "slug": "support", "preset": "classification", "base": "tiny",
            "labels": "\n".join(factories.LABELS), "recipients": "team@north.example"}  # fmt: skip


def rows_file(text: str = ROWS, name: str = "rows.jsonl") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text.encode())


def test_an_empty_agency_is_led_to_its_first_client(owner: Browser) -> None:
    page = owner.get("/")

    assert reverse("wizard-client") in page.text and reverse("load-demo") in page.text


def test_a_viewer_is_told_and_not_offered(agency: Agency, viewer: Browser) -> None:
    page = viewer.get("/")

    assert "No client yet" in page.text and reverse("load-demo") not in page.text


def test_the_first_step_saves_the_client_and_goes_to_the_host(owner: Browser, agency: Agency) -> None:
    given = {"name": "Acorn", "slug": "acorn", "timezone": "Europe/Madrid"}

    response = owner.post(reverse("wizard-client"), given)

    assert response["Location"] == reverse("wizard-host", args=["acorn"])


def test_a_wrong_time_zone_keeps_what_was_typed(owner: Browser, agency: Agency) -> None:
    page = owner.post(reverse("wizard-client"), {"name": "Acorn", "slug": "acorn", "timezone": "Madrid"})

    assert page.status_code == 422
    assert "There is no time zone" in page.text and 'value="Acorn"' in page.text


def test_each_visit_goes_on_where_the_last_one_ended(acorn: Client, engineer: Browser) -> None:
    here = reverse("wizard-go-on", args=["acorn"])
    assert engineer.get(here)["Location"] == reverse("wizard-host", args=["acorn"])

    factories.make_host(acorn)
    assert engineer.get(here)["Location"] == reverse("wizard-pipeline", args=["acorn"])

    pipeline = factories.make_pipeline(acorn)
    assert engineer.get(here)["Location"] == reverse("wizard-data", args=["acorn", "support"])

    factories.make_run(pipeline)
    assert engineer.get(here)["Location"] == reverse("run", args=["acorn", "support", 1])


def test_asking_a_host_saves_nothing(acorn: Client, engineer: Browser) -> None:
    given = {"name": "shop", "url": "http://127.0.0.1:9", "act": "test"}

    page = engineer.post(reverse("wizard-host", args=["acorn"]), given)

    assert "It does not answer" in page.text and "http://127.0.0.1:9" in page.text
    with factories.inside(acorn):
        assert not Host.objects.exists()


def test_the_embedded_host_is_offered(acorn: Client, engineer: Browser, settings: Any) -> None:
    settings.EMBEDDED_HOST = "http://127.0.0.1:8434"

    assert 'value="http://127.0.0.1:8434"' in engineer.get(reverse("wizard-host", args=["acorn"])).text


def test_a_test_mail_arrives_and_nothing_is_saved(acorn: Client, engineer: Browser, mailoutbox: list[Any]) -> None:
    page = engineer.post(reverse("wizard-pipeline", args=["acorn"]), PIPELINE | {"name": "", "act": "mail"})

    assert mailoutbox[0].to == ["team@north.example"] and "Test mail" in mailoutbox[0].subject
    assert page.status_code == 200 and "billing" in page.text
    with factories.inside(acorn):
        assert not Pipeline.objects.exists()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Enter an address first"),
        ("nobody", "is no e-mail address"),
        ("a@b.example," * 11, "At most 10 addresses"),
    ],
)
def test_a_test_mail_to_nobody_is_refused(
    typed: str, said: str, acorn: Client, engineer: Browser, mailoutbox: list[Any]
) -> None:
    page = engineer.post(reverse("wizard-pipeline", args=["acorn"]), PIPELINE | {"recipients": typed, "act": "mail"})

    assert said in page.text and mailoutbox == []


def test_test_mails_are_rationed(acorn: Client, engineer: Browser, mailoutbox: list[Any]) -> None:
    for _ in range(8):
        page = engineer.post(reverse("wizard-pipeline", args=["acorn"]), PIPELINE | {"act": "mail"})

    assert "wait a minute" in page.text and len(mailoutbox) == 6


def test_a_mail_server_that_refuses_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, *_args: Any) -> None:
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr("django.core.mail.EmailMultiAlternatives.send", refuse)

    is_good, said = trial.send_trial(["team@north.example"], "ann@north.example")

    assert not is_good and "nobody listens" in said


def test_a_test_mail_that_one_of_several_mailboxes_refuses_is_no_success(settings: Any) -> None:
    with serving(settings) as inbox:
        inbox.refused["dead@north.example"] = "550 5.1.1 No such user"
        is_good, said = trial.send_trial(["team@north.example", "dead@north.example"], "ann@north.example")

    assert not is_good and "dead@north.example: The mail server refused" in said and "team@" not in said
    assert [mail["To"] for mail in inbox.mails] == ["team@north.example"]


def test_without_a_server_the_page_says_where_the_mail_lies(settings: Any, tmp_path: Path) -> None:
    settings.EMAIL_BACKEND = "agency.mail.files.EmailBackend"

    is_good, said = trial.send_trial(["team@north.example"], "ann@north.example")

    assert is_good and str(settings.EMAIL_FILE_PATH) in said
    assert len(list(Path(settings.EMAIL_FILE_PATH).iterdir())) == 1


def test_a_file_is_looked_at_before_it_is_imported(acorn: Client, engineer: Browser) -> None:
    pipeline = factories.make_pipeline(acorn)
    here = reverse("wizard-data", args=["acorn", "support"])

    engineer.post(here, {"file": rows_file()})
    page = engineer.get(here)

    assert "Where is parcel 0?" in page.text
    with factories.inside(pipeline):
        assert Batch.objects.get().is_draft and not Example.objects.exists()


def test_rows_are_imported_and_a_part_is_held_out(acorn: Client, engineer: Browser) -> None:
    pipeline = factories.make_pipeline(acorn)
    here = reverse("wizard-data", args=["acorn", "support"])
    engineer.post(here, {"file": rows_file()})

    engineer.post(here, {"act": "import"})
    response = engineer.post(here, {"act": "hold-out", "share": "20", "seed": "0"})

    assert response["Location"] == reverse("wizard-run", args=["acorn", "support"])
    with factories.inside(pipeline):
        assert EvalSet.objects.get(kind="heldout").size == 30
    page = engineer.get(response["Location"])
    assert "120 rows are ready" in page.text and "30 cases judge it" in page.text


def test_a_file_that_does_not_parse_says_why_and_is_kept(acorn: Client, engineer: Browser) -> None:
    factories.make_pipeline(acorn)
    here = reverse("wizard-data", args=["acorn", "support"])
    engineer.post(here, {"file": rows_file("PK\x03\x04 no workbook", "rows.xlsx")})

    page = engineer.get(here)

    assert "rows.xlsx" in page.text and 'role="alert"' in page.text
    assert engineer.post(here, {"act": "import"}).status_code == 422


def test_a_held_out_part_of_nothing_is_refused(acorn: Client, engineer: Browser) -> None:
    factories.make_pipeline(acorn)
    here = reverse("wizard-data", args=["acorn", "support"])
    engineer.post(here, {"file": rows_file("\n".join(ROWS.splitlines()[:3]))})
    engineer.post(here, {"act": "import"})

    assert engineer.post(here, {"act": "hold-out", "share": "0", "seed": "0"}).status_code == 422


def test_the_last_step_starts_the_run(acorn: Client, engineer: Browser) -> None:
    factories.make_pipeline(acorn)

    response = engineer.post(reverse("wizard-run", args=["acorn", "support"]), {"reason": ""}, follow=True)

    assert response.redirect_chain[-1][0] == reverse("run", args=["acorn", "support", 1])
    page = engineer.post(reverse("wizard-run", args=["acorn", "support"]), {"reason": "again"})
    assert page.status_code == 422 and "still live" in page.text and 'value="again"' in page.text


def test_who_sees_one_client_only_sets_up_that_one(acorn: Client, birch: Client, agency: Agency) -> None:
    browser = Browser()
    browser.force_login(factories.make_member(agency, Role.ENGINEER, client=acorn))

    assert browser.get(reverse("wizard-host", args=["acorn"])).status_code == 200
    assert browser.get(reverse("wizard-host", args=["birch"])).status_code == 404
    assert browser.get(reverse("wizard-client")).status_code == 404
