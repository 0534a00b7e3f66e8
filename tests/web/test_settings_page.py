"""The settings form: every setting has a field, errors are sentences, nothing is saved unseen."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django import forms
from django.http import QueryDict
from django.test import Client as Browser
from django.test import override_settings
from django.urls import reverse

from agency.portal.forms.settings import SettingsForm
from tenants import actions
from tenants.models import AuditEvent, Client, Pipeline, SettingsRevision
from tenants.models.settings_revision import flatten
from tenants.pipeline_settings import PipelineSettings
from tenants.telling.rules import NOTICE_KINDS
from tests import factories

HERE = reverse("settings", args=["acorn", "support"])
LISTS = {"stages", "hosts", "recipients", "criteria.metrics", "criteria.output.labels", "criteria.output.fields"}
LISTS |= {"data.secret_kinds"} | {f"notices.{kind}.{name}" for kind in NOTICE_KINDS for name in ("mail", "channels")}


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    return factories.make_pipeline(acorn)


def filled(form: SettingsForm) -> dict[str, Any]:
    """What a browser would send of the untouched form."""
    sent: dict[str, Any] = {}
    for bound in form:
        value = bound.value()
        if isinstance(bound.field, forms.BooleanField):
            sent |= {bound.html_name: "on"} if value else {}
        elif value is not None:
            sent[bound.html_name] = value if isinstance(value, list) else str(value)
    return sent


def typed(support: Pipeline, **changes: Any) -> dict[str, Any]:
    """The form as sent, with `changes` (`__` stands for a dot)."""
    sent = filled(SettingsForm(support.settings, ["shop"]))
    return sent | {name.replace("__", "."): value for name, value in changes.items()}


def reviewed(engineer: Browser, sent: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What "Save" sends after the review of `sent`."""
    page = engineer.post(HERE, sent)
    hidden = {name: page.context["save_form"][name].value() for name in ("base", "reviewed")}
    assert all(f'value="{value}"' in page.text for value in hidden.values())
    return sent | hidden | {"save": "1"} | more


def save_as_other(support: Pipeline, **changes: Any) -> None:
    with factories.inside(support):
        body = support.revision.body | {"recipients": ["other@north.example"]}
        actions.change_settings(support, body, "owner@north.example", factories.NOW)


def test_every_setting_has_a_field_and_every_field_a_setting(support: Pipeline) -> None:
    rules = {kind: {"mail": ["a@north.example"], "channels": ["ops"]} for kind in NOTICE_KINDS}
    people = {"recipients": ["a@north.example"], "notices": rules}
    body = PipelineSettings(triggers={"schedule": {}}, hosts=["shop"], **people).model_dump(mode="json")
    paths = set(flatten(body))
    plain = {path for path in paths if not any(path == name or path.startswith(f"{name}.") for name in LISTS)} | LISTS

    fields = set(SettingsForm(PipelineSettings.model_validate(body), ["shop"]).fields)

    spare = {name for name in fields if name.startswith(("gates.6.", "rollout.steps.2."))}
    assert fields - spare - {"triggers.has_schedule"} == plain


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"criteria": {"output": {"kind": "label", "labels": ["food, drink", "other"]}}},
        {"criteria": {"output": {"kind": "json", "fields": ["name, first", "town"]}, "metrics": ["json_fields"]}},
        {"change": {"blackouts": ["2026-12-20/2027-01-06 year end, and the days after it"]}},
        {"criteria": {"metrics": ["accuracy", "tone"]}},
    ],
    ids=["plain", "labels", "fields", "blackouts", "own metrics"],
)
def test_an_untouched_form_reads_back_as_the_same_settings(changes: dict[str, Any]) -> None:
    with override_settings(OWN_METRICS={"tone": "tests.own:TONE"}):
        body = factories.merged(factories.settings_body(), changes)
        held = PipelineSettings.model_validate(body | ({"gates": []} if "criteria" in changes else {}))
        data = QueryDict(mutable=True)
        for name, value in filled(SettingsForm(held, ["shop"])).items():
            data.setlist(name, value if isinstance(value, list) else [value])

        form = SettingsForm(held, ["shop"], data)

        assert form.is_valid(), form.errors
        assert PipelineSettings.model_validate(form.body()) == held


def test_a_change_is_shown_before_it_is_saved(engineer: Browser, support: Pipeline) -> None:
    response = engineer.post(HERE, typed(support, triggers__new_examples="250"))

    assert response.context["changes"] == [("triggers.new_examples", 500, 250)]
    with factories.inside(support):
        assert SettingsRevision.objects.count() == 1


def test_saving_makes_a_revision_with_its_author_and_reason(engineer: Browser, support: Pipeline) -> None:
    sent = reviewed(engineer, typed(support, triggers__new_examples="250"), reason="small client")

    assert engineer.post(HERE, sent).status_code == 303

    with factories.inside(support):
        made = SettingsRevision.objects.get(number=2)
        assert (made.author, made.reason, made.settings.triggers.new_examples) == (
            "engineer@north.example",
            "small client",
            250,
        )
        assert AuditEvent.objects.filter(verb="settings.change").count() == 2


def test_a_form_that_changes_nothing_saves_nothing(engineer: Browser, support: Pipeline) -> None:
    response = engineer.post(HERE, typed(support, save="1", base="1"))

    assert "these are the current settings" in response.text


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"data__max_malformed_share": "140"}, "data.max_malformed_share", "less than or equal to 100"),
        ({"data__near_duplicate_jaccard": "0.5"}, "data.near_duplicate_jaccard", "Must be 0.9 or more."),
        ({"recipe__lora_rank": "0"}, "recipe.lora_rank", "Must be 1 or more."),
        ({"recipe__learning_rate": "fast"}, "recipe.learning_rate", "Enter a number."),
        ({"triggers__cooldown_s": "a while"}, "triggers.cooldown_s", "not a duration"),
        (
            {"triggers__has_schedule": "on", "triggers__schedule__rule": "EVERY DAY"},
            "triggers.schedule.rule",
            "Not an RFC 5545 rule",
        ),
        ({"gates__0__metric": "charm"}, None, "needs metric charm"),
        ({"gates__3__limit": "-2"}, "gates.3.name", "limit must lie between 0 and 10."),
        ({"gates__1__limit": ""}, "gates.1.name", "this rule needs a limit"),
        ({"rollout__steps__1__share": "3"}, "rollout.max_step_s", "larger share than the one before"),
        ({"recipients": "not an address"}, "recipients", "not a valid email address"),
        ({"criteria__output__kind": "json"}, "criteria.output.kind", "needs the names of its fields"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence_and_stays_typed(
    engineer: Browser, support: Pipeline, changes: dict[str, str], field: str | None, sentence: str
) -> None:
    response = engineer.post(HERE, typed(support, **changes, recipe__epochs="7"))

    form = response.context["form"]
    assert response.status_code == 422
    assert sentence in " ".join(form.errors[field or "__all__"])
    assert form["recipe.epochs"].value() == "7"
    with factories.inside(support):
        assert SettingsRevision.objects.count() == 1


def test_a_host_that_does_not_answer_is_refused(engineer: Browser, support: Pipeline) -> None:
    factories.make_host(support.client, "spare")

    response = engineer.post(HERE, typed(support, hosts=["shop", "spare"]))

    assert "Host spare does not answer" in str(response.context["form"].errors["hosts"])


def test_a_revision_saved_meanwhile_is_not_overwritten_unseen(engineer: Browser, support: Pipeline) -> None:
    sent = reviewed(engineer, typed(support, triggers__new_examples="250"))
    save_as_other(support)

    response = engineer.post(HERE, sent)

    assert response.status_code == 422 and "owner@north.example saved revision 2 meanwhile" in response.text
    with factories.inside(support):
        assert SettingsRevision.objects.count() == 2


def test_what_was_typed_after_the_review_is_shown_before_it_is_saved(engineer: Browser, support: Pipeline) -> None:
    sent = reviewed(engineer, typed(support, triggers__new_examples="250"), reason="small client")

    response = engineer.post(HERE, sent | {"triggers.new_examples": "251"})

    assert response.status_code == 422 and "This is not what was reviewed." in response.text
    assert response.context["changes"] == [("triggers.new_examples", 500, 251)]
    assert response.context["save_form"]["reason"].value() == "small client"
    with factories.inside(support):
        assert SettingsRevision.objects.count() == 1
    again = {"reviewed": response.context["save_form"]["reviewed"].value(), "triggers.new_examples": "251"}
    assert engineer.post(HERE, sent | again).status_code == 303


def test_a_save_without_a_review_shows_one(engineer: Browser, support: Pipeline) -> None:
    response = engineer.post(HERE, typed(support, triggers__new_examples="250", save="1", base="1"))

    assert response.status_code == 422 and response.context["changes"] == [("triggers.new_examples", 500, 250)]
    with factories.inside(support):
        assert SettingsRevision.objects.count() == 1


def test_the_enter_key_reviews_and_never_saves(engineer: Browser, support: Pipeline) -> None:
    page = engineer.post(HERE, typed(support, triggers__new_examples="250")).text

    buttons = re.findall(r"<button\b[^>]*>", page[page.index('id="settings-form"') :])
    assert "name=" not in buttons[0] and any('name="save"' in button for button in buttons)


def test_what_a_colleague_saved_while_the_page_was_open_is_named_at_the_review(
    engineer: Browser, support: Pipeline
) -> None:
    opened = engineer.get(HERE)
    sent = typed(support, triggers__new_examples="250", base=opened.context["save_form"]["base"].value())
    save_as_other(support)

    wrong = engineer.post(HERE, sent | {"recipe.epochs": "many"})
    review = engineer.post(HERE, sent)
    again = engineer.post(HERE, sent | {"base": "2"})

    assert 'name="base" value="1"' in opened.text and 'name="base" value="1"' in wrong.text
    assert review.status_code == 422 and "owner@north.example saved revision 2 meanwhile" in review.text
    assert 'name="base" value="2"' in review.text
    assert ("recipients.0", "other@north.example", "team@north.example") in review.context["changes"]
    assert again.status_code == 200 and "saved revision 2 meanwhile" not in again.text


def test_a_gate_without_a_name_is_left_out(engineer: Browser, support: Pipeline) -> None:
    response = engineer.post(HERE, typed(support, gates__5__name=""))

    assert ("gates.5.name", "size", None) in response.context["changes"]


def test_a_gates_error_is_shown_in_its_own_row_when_rows_before_it_went(engineer: Browser, support: Pipeline) -> None:
    response = engineer.post(HERE, typed(support, gates__0__name="", gates__3__limit="-2"))

    assert "gates.3.name" in response.context["form"].errors


def test_an_earlier_revision_comes_back_as_a_new_one(engineer: Browser, support: Pipeline) -> None:
    engineer.post(HERE, reviewed(engineer, typed(support, triggers__new_examples="250")))
    restore = reverse("restore", args=["acorn", "support", 1])

    assert engineer.post(restore, {"reason": ""}).status_code == 422
    engineer.post(restore, {"reason": "too few"})

    with factories.inside(support):
        assert SettingsRevision.objects.get(number=3).body == SettingsRevision.objects.get(number=1).body


def test_the_history_shows_each_revision_with_its_difference(
    viewer: Browser, engineer: Browser, support: Pipeline
) -> None:
    engineer.post(HERE, reviewed(engineer, typed(support, triggers__new_examples="250"), reason="small client"))

    response = viewer.get(reverse("settings-history", args=["acorn", "support"]))

    assert response.context["lines"][0][1] == [("triggers.new_examples", 500, 250)]
    assert "small client" in response.text and "Restore" not in response.text


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("FREQ=WEEKLY;BYDAY=SA", "Saturday each week, 04:30"),
        ("EVERY DAY", "cannot be read"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", ""),
    ],
)
def test_a_schedule_is_echoed_while_it_is_typed(viewer: Browser, support: Pipeline, rule: str, said: str) -> None:
    query = {"triggers.schedule.rule": rule, "triggers.schedule.at": "04:30"}
    headers = {"HX-Request": "true", "HX-Target": "div#schedule-echo"}

    response = viewer.get(reverse("schedule", args=["acorn", "support"]), query, headers=headers)

    assert said in response.text and "<html" not in response.text
    assert len(response.context["schedule"].get("times", [])) == (5 if said.startswith("Saturday") else 0)


def test_a_rule_that_is_never_due_is_refused(engineer: Browser, support: Pipeline) -> None:
    rule = {"triggers__has_schedule": "on", "triggers__schedule__rule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}

    response = engineer.post(HERE, typed(support, **rule))

    assert "never due" in str(response.context["form"].errors["triggers.schedule.rule"])


def test_a_viewer_reads_the_settings_but_is_offered_no_button(viewer: Browser, support: Pipeline) -> None:
    assert "Review the changes" not in viewer.get(HERE).text


def put_held_out(support: Pipeline) -> None:
    case = {"id": "c1", "messages": [{"role": "user", "content": "Where is it?"}], "check": "label"}
    with factories.inside(support):
        actions.put_eval_set(support, "heldout", [case | {"expected": {"label": "parcel"}}], "tests", factories.NOW)


def test_gates_without_a_set_are_named_with_what_is_missing(engineer: Browser, support: Pipeline) -> None:
    before = engineer.get(HERE).content.decode()
    put_held_out(support)
    after = engineer.get(HERE).content.decode()

    assert "<b>accuracy</b>: held-out set" in before
    assert "<b>latency</b>: latency prompts or held-out set" in before
    assert "<b>accuracy</b>" not in after and "<b>safety</b>: safety set" in after


def test_a_metric_that_the_cases_cannot_feed_is_refused_with_a_sentence(engineer: Browser, support: Pipeline) -> None:
    put_held_out(support)

    response = engineer.post(HERE, typed(support, criteria__metrics=["accuracy", "json_fields"]))

    said = response.context["form"].errors["criteria.metrics"]
    assert response.status_code == 422
    assert "json_fields cannot be computed on the held-out set (version 1): case c1" in said[0]


def test_settings_that_cannot_work_any_more_are_not_restored(engineer: Browser, support: Pipeline) -> None:
    with factories.inside(support):
        body = support.settings.model_dump(mode="json")
        actions.change_settings(support, body | {"hosts": []}, "ann", factories.NOW)
        actions.change_settings(support, body | {"recipe": body["recipe"] | {"base": "gone"}}, "ann", factories.NOW)
        actions.change_settings(support, body, "ann", factories.NOW)

    refused = engineer.post(reverse("restore", args=["acorn", "support", 3]), {"reason": "as before"})

    assert refused.status_code == 422 and "recipe.base: gone is not registered here." in refused.text
    assert "as before" in refused.text
    with factories.inside(support):
        assert Pipeline.objects.get().revision.number == 4
