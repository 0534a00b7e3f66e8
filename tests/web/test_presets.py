"""Presets that pipelines follow, copies to other clients, one setting over many pipelines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agency.as_code.possible import saver
from pipelines.models import Example
from tenants import actions, scope
from tenants.following import presets as following
from tenants.following.changes import Applied
from tenants.models import Agency, AuditEvent, Client, EvalSet, Host, Pipeline, Role, SettingsPreset, SettingsRevision
from tests import factories
from tests.web.test_settings_page import filled

DAY_S, WEEK_S = 86_400, 7 * 86_400


def body_with(**triggers: Any) -> dict[str, Any]:
    return factories.settings_body(triggers=triggers)


def make_preset(agency: Agency, **triggers: Any) -> SettingsPreset:
    with scope.agency_scope(agency.pk):
        return following.create_preset(agency, "Careful", "careful", body_with(**triggers), "ann", factories.NOW)


def follow(pipeline: Pipeline, preset: SettingsPreset, takes_all: bool = False) -> Applied:
    with scope.agency_scope(pipeline.agency_id):
        base = Pipeline.objects.get(pk=pipeline.pk).revision.number
        return following.follow(pipeline, preset, saver("ann", factories.NOW), takes_all=takes_all, base=base)


def change(preset: SettingsPreset, bases: dict[int, int] | None = None, **triggers: Any) -> Applied:
    return change_body(preset, body_with(**triggers), bases)


def change_body(preset: SettingsPreset, body: dict[str, Any], bases: dict[int, int] | None = None) -> Applied:
    with scope.agency_scope(preset.agency_id):
        row, by = SettingsPreset.objects.get(pk=preset.pk), saver("ann", factories.NOW)
        seen = bases or {one.pipeline.pk: one.base for one in following.proposals(row, body, by.judge)}
        return following.change_preset(row, body, following.Seen(row.version, seen), by, "calmer")


def settings_of(pipeline: Pipeline) -> Any:
    with factories.inside(pipeline):
        return Pipeline.objects.select_related("revision", "client").get(pk=pipeline.pk)


def set_own(pipeline: Pipeline, **triggers: Any) -> None:
    with factories.inside(pipeline):
        row = Pipeline.objects.select_related("revision").get(pk=pipeline.pk)
        body = row.settings.model_dump(mode="json")
        actions.change_settings(row, factories.merged(body, {"triggers": triggers}), "bob", factories.NOW)


def test_followers_take_a_change_as_a_revision_and_keep_what_is_their_own(acorn: Client, birch: Client) -> None:
    one, other = factories.make_pipeline(acorn), factories.make_pipeline(birch)
    preset = make_preset(acorn.agency)
    follow(one, preset)
    follow(other, preset)
    set_own(other, cooldown_s=DAY_S)

    done = change(preset, cooldown_s=WEEK_S, max_runs_per_day=2)

    assert len(done.saved) == 2 and not done.stale
    assert settings_of(one).settings.triggers.cooldown_s == WEEK_S
    assert settings_of(other).settings.triggers.cooldown_s == DAY_S
    assert settings_of(other).settings.triggers.max_runs_per_day == 2
    assert settings_of(other).own_fields == ["triggers.cooldown_s"]
    assert settings_of(one).revision.author == "ann" and "preset Careful" in settings_of(one).revision.reason


def test_an_own_value_stays_own_when_the_preset_comes_by_it(acorn: Client) -> None:
    pipeline, preset = factories.make_pipeline(acorn), make_preset(acorn.agency)
    follow(pipeline, preset)
    set_own(pipeline, cooldown_s=DAY_S)

    change(preset, cooldown_s=DAY_S)
    change(preset, cooldown_s=WEEK_S)

    assert settings_of(pipeline).settings.triggers.cooldown_s == DAY_S


def test_saving_the_presets_value_follows_again(acorn: Client) -> None:
    pipeline, preset = factories.make_pipeline(acorn), make_preset(acorn.agency)
    follow(pipeline, preset)
    set_own(pipeline, cooldown_s=DAY_S)
    set_own(pipeline, cooldown_s=2 * DAY_S)  # The preset's.

    change(preset, cooldown_s=WEEK_S)

    assert settings_of(pipeline).settings.triggers.cooldown_s == WEEK_S


def test_a_run_keeps_the_revision_that_it_started_with(acorn: Client) -> None:
    pipeline, preset = factories.make_pipeline(acorn), make_preset(acorn.agency)
    follow(pipeline, preset)
    run = factories.make_run(settings_of(pipeline), at="compare", status="held")

    change(preset, cooldown_s=WEEK_S)

    with factories.inside(pipeline):
        run.refresh_from_db()
        assert run.revision.settings.triggers.cooldown_s == 2 * DAY_S
        assert SettingsRevision.objects.filter(pipeline=pipeline).count() == 2


def test_what_somebody_changed_meanwhile_is_left_alone_and_named(acorn: Client, birch: Client) -> None:
    one, other = factories.make_pipeline(acorn), factories.make_pipeline(birch)
    preset = make_preset(acorn.agency)
    follow(one, preset)
    follow(other, preset)
    bases = {one.pk: 1, other.pk: 1}
    set_own(other, max_runs_per_day=9)

    done = change(preset, bases, cooldown_s=WEEK_S)

    assert done.saved == ["Acorn · Support"] and done.stale == ["Birch · Support"]
    assert settings_of(other).settings.triggers.cooldown_s == 2 * DAY_S


def test_one_that_cannot_take_the_change_is_named_with_its_reason(acorn: Client) -> None:
    pipeline, preset = factories.make_pipeline(acorn), make_preset(acorn.agency)
    follow(pipeline, preset)
    with factories.inside(pipeline):
        row = settings_of(pipeline)
        gates = [gate | {"metric": "f1_macro"} if gate["kind"] == "task" else gate
                 for gate in row.settings.model_dump(mode="json")["gates"]]  # fmt: skip
        body = row.settings.model_dump(mode="json") | {"gates": gates}
        body["criteria"]["metrics"] = ["f1_macro"]
        actions.change_settings(row, body, "bob", factories.NOW)
        Pipeline.objects.filter(pk=row.pk).update(own_fields=["gates"])

    done = change(preset, cooldown_s=WEEK_S)

    assert done.saved == [] and "f1_macro" in done.refused[0]


def test_another_agencys_pipelines_cannot_be_reached(acorn: Client, cedar: Client) -> None:
    theirs, preset = factories.make_pipeline(cedar), make_preset(acorn.agency)

    with scope.agency_scope(acorn.agency_id):
        assert following.followers(preset) == []
    assert settings_of(theirs).preset_id is None


def page_fields(browser: Browser, path: str) -> dict[str, Any]:
    """What a browser would send back of the form on the page, unchanged."""
    return filled(browser.get(path).context["form"])


def test_a_preset_is_reviewed_with_every_follower_then_saved(engineer: Browser, acorn: Client) -> None:
    pipeline, preset = factories.make_pipeline(acorn), make_preset(acorn.agency)
    follow(pipeline, preset)
    path = reverse("preset", args=["careful"])
    given = page_fields(engineer, path) | {"triggers.cooldown_s": "7 d"}

    page = engineer.post(path, given)
    assert "Acorn · Support" in page.text and "triggers.cooldown_s" in page.text
    assert settings_of(pipeline).revision.number == 1
    seen = {name: page.context["save_form"][name].value() for name in ("base", "reviewed")}
    sent = given | seen | {f"base-{pipeline.pk}": "1", "save": "1", "reason": "calmer"}
    unseen = engineer.post(path, sent | {"triggers.cooldown_s": "8 d"})
    assert unseen.status_code == 422 and "This is not what was reviewed." in unseen.text and "8 d" in unseen.text
    assert settings_of(pipeline).revision.number == 1
    told = engineer.post(path, sent, follow=True)

    assert "a new revision in 1 pipelines" in told.text
    assert settings_of(pipeline).settings.triggers.cooldown_s == WEEK_S
    stale = engineer.post(path, sent | {"triggers.cooldown_s": "1 d"})
    assert stale.status_code == 422 and "changed this preset meanwhile" in stale.text


def test_a_preset_that_changed_while_its_page_was_open_says_so_at_the_review(engineer: Browser, acorn: Client) -> None:
    preset = make_preset(acorn.agency)
    path = reverse("preset", args=["careful"])
    given = page_fields(engineer, path) | {"base": "1", "triggers.cooldown_s": "1 d"}
    assert 'name="base" value="1"' in engineer.get(path).text
    change(preset, max_runs_per_day=2)

    review = engineer.post(path, given)

    assert review.status_code == 422 and "ann changed this preset meanwhile" in review.text
    assert 'name="base" value="2"' in review.text


def test_a_wrong_value_keeps_what_was_typed_and_saves_nothing(engineer: Browser, acorn: Client) -> None:
    make_preset(acorn.agency)
    path = reverse("preset", args=["careful"])

    page = engineer.post(path, page_fields(engineer, path) | {"triggers.cooldown_s": "soon", "save": "1", "base": "1"})

    assert page.status_code == 422 and "soon" in page.text
    with scope.agency_scope(acorn.agency_id):
        assert SettingsPreset.objects.get().version == 1


def test_a_pipeline_follows_and_leaves_on_its_page(engineer: Browser, acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    make_preset(acorn.agency, cooldown_s=WEEK_S)
    path = reverse("follow-preset", args=["acorn", "support"])

    assert "triggers.cooldown_s" in engineer.get(path).text
    engineer.post(path, {"preset": "careful", "differing": "take", "base": "1"})
    assert settings_of(pipeline).settings.triggers.cooldown_s == WEEK_S
    stale = engineer.post(path, {"preset": "careful", "differing": "keep", "base": "1"})
    assert stale.status_code == 422 and "meanwhile" in stale.text
    engineer.post(path, {"act": "leave"})

    assert settings_of(pipeline).preset_id is None
    with factories.inside(acorn):
        assert {"preset.follow", "preset.leave"} <= set(AuditEvent.objects.values_list("verb", flat=True))


def test_a_copy_takes_settings_and_nothing_of_the_neighbour(engineer: Browser, acorn: Client, birch: Client) -> None:
    source = factories.make_pipeline(acorn, triggers={"cooldown_s": WEEK_S}, bodies={"keep": True})
    factories.make_run(source, at="compare")
    path = reverse("clone-pipeline", args=["acorn", "support"])

    engineer.post(path, {"client": "birch", "name": "Sorting", "slug": "sorting"})

    with factories.inside(birch):
        made = Pipeline.objects.select_related("revision").get(slug="sorting")
        has = made.settings
        assert has.triggers.cooldown_s == WEEK_S and has.criteria.output.labels == factories.LABELS
        assert has.hosts == () and has.recipients == () and not has.bodies.keep
        for model in (Example, EvalSet, Host):
            assert not model.objects.filter(client=birch).exists()
        said = str(list(AuditEvent.objects.values_list("subject", "detail")))
        assert "acorn" not in said.lower()


def test_a_copy_is_not_called_like_a_page_of_its_client(engineer: Browser, acorn: Client, birch: Client) -> None:
    factories.make_pipeline(acorn)

    page = engineer.post(
        reverse("clone-pipeline", args=["acorn", "support"]), {"client": "birch", "name": "Caps", "slug": "caps"}
    )

    assert page.status_code == 422 and "a word of the product itself" in page.text


def test_a_copy_needs_the_right_at_both_ends(agency: Agency, acorn: Client, birch: Client) -> None:
    factories.make_pipeline(acorn)
    browser = Browser()
    browser.force_login(factories.make_member(agency, Role.ENGINEER, client=acorn))
    path = reverse("clone-pipeline", args=["acorn", "support"])

    page = browser.post(path, {"client": "birch", "name": "Sorting", "slug": "sorting"})

    assert page.status_code == 422 and "Birch" not in page.text
    assert browser.post(path, {"client": "acorn", "name": "S", "slug": "support"}).status_code == 422


def test_one_setting_changes_in_many_pipelines_by_one_confirmation(
    engineer: Browser, acorn: Client, birch: Client
) -> None:
    one, other = factories.make_pipeline(acorn), factories.make_pipeline(birch)
    path = reverse("bulk-change")
    given = {"field": "triggers.cooldown_s", "value": "7 d", "pick": [str(one.pk), str(other.pk)]}

    page = engineer.post(path, given)
    assert page.text.count("triggers.cooldown_s</code>") == 2 and settings_of(one).revision.number == 1
    set_own(other, max_runs_per_day=9)
    saving = given | {"save": "1", "reason": "calmer", f"base-{one.pk}": "1", f"base-{other.pk}": "1"}
    saving["reviewed"] = page.context["asked"].reviewed
    assert f'name="reviewed" value="{saving["reviewed"]}"' in page.text
    for unseen in ({"value": "8 d"}, {"pick": [str(one.pk)]}, {"reviewed": ""}):
        refused = engineer.post(path, saving | unseen)
        assert refused.status_code == 422 and "This is not what was reviewed." in refused.text
    assert settings_of(one).revision.number == 1
    told = engineer.post(path, saving, follow=True)

    assert "Birch · Support" in told.text and "meanwhile" in told.text
    assert settings_of(one).settings.triggers.cooldown_s == WEEK_S
    assert settings_of(other).settings.triggers.cooldown_s == 2 * DAY_S


def test_a_search_reaches_the_pipelines_that_a_long_list_leaves_out(
    engineer: Browser, acorn: Client, birch: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agency.portal.views.presets.bulk.AT_MOST", 2)
    factories.make_pipeline(acorn), factories.make_pipeline(acorn, "billing")
    last = factories.make_pipeline(birch)
    path, given = reverse("bulk-change"), {"field": "triggers.cooldown_s", "value": "7 d", "pick": [str(last.pk)]}

    cut, found = engineer.get(path), engineer.get(path, {"q": "birch"})
    changed = engineer.post(f"{path}?q=birch", given)

    assert "The first 2 of 3: search" in cut.text and "Birch" not in cut.text
    assert "Birch · Support" in found.text and 'id="cut"' not in found.text
    assert "triggers.cooldown_s</code>" in changed.text


@pytest.mark.parametrize(
    ("given", "said"),
    [({"value": "7 d"}, "Tick at least one"), ({"value": "soon", "pick": "1"}, "is not a duration")],
)
def test_a_bulk_change_with_a_fault_says_so_and_keeps_it(
    given: dict[str, str], said: str, engineer: Browser, acorn: Client
) -> None:
    factories.make_pipeline(acorn)

    page = engineer.post(reverse("bulk-change"), {"field": "triggers.cooldown_s"} | given)

    assert page.status_code == 422 and said in page.text and given["value"] in page.text


def test_an_unknown_setting_is_not_there(engineer: Browser) -> None:
    assert engineer.get(reverse("bulk-change"), {"field": "hosts"}).status_code == 404


@pytest.fixture
def old_host(birch: Client) -> Pipeline:
    """At birch: its host has no LoRA beside a base."""
    made = factories.make_pipeline(birch)
    with factories.inside(birch):
        Host.objects.filter(client=birch).update(facts={"generation": "C", "version": "0.35.0"})
    return made


def test_what_cannot_work_at_a_client_is_refused_there_by_name_and_saved_elsewhere(
    acorn: Client, old_host: Pipeline
) -> None:
    one, preset = factories.make_pipeline(acorn), make_preset(acorn.agency)
    follow(one, preset)
    follow(old_host, preset)

    done = change_body(preset, factories.settings_body(recipe={"delivery": "adapter"}))

    assert done.saved == ["Acorn · Support"]
    assert len(done.refused) == 1 and "Birch · Support: recipe.delivery: shop: The host runs" in done.refused[0]
    assert settings_of(old_host).settings.recipe.delivery == "merged"


def test_what_a_change_does_not_touch_keeps_it_back_nowhere(acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn, recipe={"base": "gone"})
    preset = make_preset(acorn.agency)
    follow(pipeline, preset)

    assert change(preset, cooldown_s=WEEK_S).saved == ["Acorn · Support"]


def test_one_setting_over_many_is_shown_as_refused_before_it_is_saved(
    engineer: Browser, acorn: Client, old_host: Pipeline
) -> None:
    made = [factories.make_pipeline(acorn), old_host]
    given = {"field": "recipe.delivery", "value": "adapter", "pick": [str(row.pk) for row in made]}

    shown = engineer.post(reverse("bulk-change"), given)
    seen = {"reviewed": shown.context["asked"].reviewed} | {f"base-{r.pk}": "1" for r in made}
    saved = engineer.post(reverse("bulk-change"), given | seen | {"save": "1"}, follow=True)

    assert "shop: " in shown.text and "Choose merged, or other hosts." in shown.text
    assert "Cannot take it, and left as they are: Birch · Support" in saved.text
    assert settings_of(old_host).revision.number == 1 and settings_of(made[0]).revision.number == 2


def test_the_pages_cost_the_same_at_any_size(engineer: Browser, acorn: Client, birch: Client) -> None:
    def count(path: str) -> int:
        with CaptureQueriesContext(connection) as seen:
            assert engineer.get(path).status_code == 200
        return len(seen)

    preset = make_preset(acorn.agency)
    follow(factories.make_pipeline(acorn), preset)
    paths = [reverse("presets"), reverse("preset", args=["careful"]), reverse("bulk-change")]
    few = [count(path) for path in paths]
    for slug in ("second", "third"):
        follow(factories.make_pipeline(birch, slug=slug), preset)

    assert [count(path) for path in paths] == few


def test_where_thresholds_take_two_people_one_change_over_many_does_not_go_round_them(
    acorn: Client, birch: Client
) -> None:
    one, other = factories.make_pipeline(acorn), factories.make_pipeline(birch)
    preset = make_preset(acorn.agency)
    follow(one, preset)
    with factories.inside(birch):
        Client.objects.filter(pk=birch.pk).update(two_for_thresholds=True)
    with scope.agency_scope(acorn.agency_id):
        row = SettingsPreset.objects.get(pk=preset.pk)
        row.body = factories.settings_body(monitor={"duration_s": 3600})
        row.save()

    done = follow(settings_of(other), row, takes_all=True)

    assert "Two people decide this" in str(done)
    assert settings_of(other).preset_id is None and settings_of(other).revision.number == 1


def with_an_old_time(pipeline: Pipeline) -> None:
    """As files with `at: 14:00` were stored once."""
    with factories.inside(pipeline):
        found = SettingsRevision.objects.get(pk=settings_of(pipeline).revision.pk)
        found.body["triggers"]["schedule"] = {"rule": "FREQ=WEEKLY;INTERVAL=2", "at": "00:14:00Z"}
        with connection.cursor() as cursor:
            said = json.dumps(found.body)
            cursor.execute("UPDATE tenants_settingsrevision SET body = %s WHERE id = %s", [said, found.pk])


def test_a_schedule_that_was_stored_with_an_offset_stands_in_the_way_of_nothing(
    acorn: Client, agency: Agency, owner: Browser
) -> None:
    preset, pipeline = make_preset(agency, cooldown_s=DAY_S), factories.make_pipeline(acorn)
    with_an_old_time(pipeline)

    assert owner.get("/").status_code == 200
    assert not follow(pipeline, preset, takes_all=True).refused
    assert not change(preset, cooldown_s=WEEK_S).refused
    assert settings_of(pipeline).settings.triggers.cooldown_s == WEEK_S
