"""The overview: what needs a person first, in a constant number of queries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from pipelines.models import Drill, Example, Job, Run, Scorecard
from pipelines.reports.overview import Need
from pipelines.reports.schedule import anchors_of, next_scheduled
from tenants.models import Agency, Client, Host, Pipeline, Role, SettingsRevision, User
from tests import factories


def test_what_needs_a_person_comes_first(owner: Browser, agency: Agency) -> None:
    factories.make_run(factories.make_pipeline(factories.make_client(agency, "aspen")), at="compare", status="running")
    factories.make_run(factories.make_pipeline(factories.make_client(agency, "yew")), at="finetune", status="failed")
    factories.make_run(factories.make_pipeline(factories.make_client(agency, "zelkova")), at="deploy", status="held")

    shown = owner.get("/").context["overview"]

    assert [line.client.slug for line in shown.lines] == ["zelkova", "yew", "aspen"]
    assert [line.need for line in shown.needing] == [Need.HELD, Need.FAILED]


def test_rows_in_quarantine_need_somebody(owner: Browser, acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    factories.make_run(pipeline, at="finetune")
    with factories.inside(acorn):
        Example.objects.filter(pipeline=pipeline).update(state="quarantined")

    response = owner.get("/")

    assert "12 rows wait in quarantine." in response.text
    assert [line.need for line in response.context["overview"].needing] == [Need.QUARANTINE]


def test_the_number_of_queries_does_not_grow_with_the_clients(
    owner: Browser, agency: Agency, django_assert_max_num_queries: Any
) -> None:
    for number in range(3):
        factories.make_run(factories.make_pipeline(factories.make_client(agency, f"few-{number}")))
    with django_assert_max_num_queries(100) as few:
        owner.get("/")
    for number in range(12):
        factories.make_run(factories.make_pipeline(factories.make_client(agency, f"many-{number}")))
    with django_assert_max_num_queries(100) as many:
        owner.get("/")

    assert len(many) == len(few)


def test_a_page_asks_as_much_for_who_sees_thirty_clients_as_for_who_sees_two(
    agency: Agency, django_assert_max_num_queries: Any
) -> None:
    def join(number: int) -> None:
        client = factories.make_client(agency, f"mine-{number}")
        factories.make_pipeline(client)
        factories.make_member(agency, Role.ENGINEER, client, "ed@north.example")

    browser = Browser()
    for number in range(2):
        join(number)
    browser.force_login(User.objects.get(email="ed@north.example"))
    with django_assert_max_num_queries(100) as few:
        assert browser.get(reverse("client", args=["mine-1"])).status_code == 200
    for number in range(2, 30):
        join(number)
    with django_assert_max_num_queries(100) as many:
        assert browser.get(reverse("client", args=["mine-1"])).status_code == 200
    assert len(many) == len(few)
    first, second = browser.get("/"), browser.get("/?page=2")
    assert (first.text.count("<section"), second.text.count("<section")) == (25, 5)


def test_the_search_looks_at_clients_and_pipelines_and_lives_in_the_address(
    owner: Browser, acorn: Client, birch: Client
) -> None:
    factories.make_pipeline(acorn, "support")
    factories.make_pipeline(birch, "triage")

    assert [line.client.slug for line in owner.get("/?q=ACO").context["overview"].lines] == ["acorn"]
    assert [line.client.slug for line in owner.get("/?q=triage").context["overview"].lines] == ["birch"]
    assert "Nothing matches." in owner.get("/?q=unknown").text


def test_an_unknown_order_is_the_default_one(owner: Browser, acorn: Client) -> None:
    assert owner.get("/?sort=drop").context["sort"] == "needs"


def test_another_agencys_clients_are_not_there(stranger: Browser, acorn: Client) -> None:
    factories.make_run(factories.make_pipeline(acorn))

    assert "Acorn" not in stranger.get("/").text


def test_an_empty_agency_is_told_what_to_do_first(owner: Browser) -> None:
    assert "Set up the first client" in owner.get("/").text


def test_a_client_is_made_on_its_form(owner: Browser) -> None:
    response = owner.post(
        reverse("new-client"), {"name": "Alder", "slug": "alder", "timezone": "Europe/Madrid"}, follow=True
    )

    assert response.redirect_chain == [(reverse("client", args=["alder"]), 303)]
    assert "Europe/Madrid" in response.text


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": "Alder", "slug": "acorn", "timezone": "UTC"}, "slug"),
        ({"name": "Alder", "slug": "Al der", "timezone": "UTC"}, "slug"),
        ({"name": "Alder", "slug": "agency", "timezone": "UTC"}, "slug"),
        ({"name": "Alder", "slug": "alder", "timezone": "Mars/Olympus"}, "timezone"),
    ],
)
def test_a_client_that_cannot_be_is_refused_beside_its_field(
    owner: Browser, acorn: Client, given: dict[str, str], field: str
) -> None:
    response = owner.post(reverse("new-client"), given)

    assert response.status_code == 422
    assert field in response.context["form"].errors and 'value="Alder"' in response.text


def test_a_run_that_is_over_needs_nobody(owner: Browser, acorn: Client) -> None:
    run = factories.make_run(factories.make_pipeline(acorn), at="monitor", status="rolled_back")

    assert not owner.get("/").context["overview"].needing
    with factories.inside(acorn):
        assert Run.objects.get(pk=run.pk).status == "rolled_back"


def test_a_long_list_is_paged_and_the_page_lives_in_the_address(owner: Browser, agency: Agency) -> None:
    for number in range(28):
        factories.make_pipeline(factories.make_client(agency, f"client-of-many-{number}"))

    first, second = owner.get("/?sort=name"), owner.get("/?sort=name&page=2")

    assert len(first.context["page"].object_list) == 25 and len(second.context["page"].object_list) == 3
    assert "?sort=name&amp;page=2" in first.text


def test_a_few_words_lead_to_any_page(viewer: Browser, acorn: Client, birch: Client, cedar: Client) -> None:
    for client in (acorn, birch):
        factories.make_pipeline(client)
    factories.make_pipeline(cedar)
    asked = {"headers": {"HX-Request": "true", "HX-Target": "ul#places"}}

    gates = viewer.get(reverse("jump"), {"q": "acorn gates"}, **asked)
    first = viewer.get(reverse("jump"), {"q": "birch", "go": "1"})
    nothing = viewer.get(reverse("jump"), {"q": "cedar"})

    assert [place.url for place in gates.context["places"]] == ["/c/acorn/support/gates/"]
    assert "<html" not in gates.text
    assert first.url == "/c/birch/"
    assert "Nothing is called so" in nothing.text


def test_a_rejected_candidate_is_looked_at_until_the_next_run(owner: Browser, acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    factories.make_run(pipeline, at="compare", status="rejected")
    assert [line.need for line in owner.get("/").context["overview"].needing] == [Need.REJECTED]

    factories.make_run(pipeline, at="trigger")
    assert not owner.get("/").context["overview"].needing


def test_a_trend_joins_what_was_in_production(owner: Browser, acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    metric = pipeline.settings.criteria.metrics[0]
    for value in (0.75, 0.875):
        version = factories.make_production(pipeline).model_version
        with factories.inside(pipeline):
            Scorecard.objects.filter(version=version).update(metrics={metric: {"candidate": value}})

    page = owner.get("/")

    assert page.context["sparks"][pipeline.pk].values == (0.75, 0.875)
    assert "<polyline" in page.text and "0.875" in page.text


def test_silent_hosts_and_failed_drills_need_somebody(owner: Browser, acorn: Client, birch: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    version = factories.make_production(pipeline).model_version
    said = {"is_passed": False, "sentence": "v1 is not on shop", "finished_at": factories.NOW}
    drill = {"from_version": version, "to_version": version, "ordered_by": "schedule", "created_at": factories.NOW}
    with factories.inside(pipeline):
        Host.objects.update(facts={"error": "nothing answers there"}, checked_at=factories.NOW)
        Drill.of(pipeline, pipeline=pipeline, **drill, **said).save()

    page = owner.get("/")
    assert "nothing answers there" in page.text and "v1 is not on shop" in page.text
    assert page.context["overview"].needs == 2
    assert not owner.get("/", {"q": "birch"}).context["overview"].needs

    with factories.inside(pipeline):
        Host.objects.update(facts={"version": "0.33.0"})
        Drill.of(pipeline, pipeline=pipeline, **drill, **(said | {"is_passed": True})).save()
    assert not owner.get("/").context["overview"].needs


def test_the_list_is_narrowed_by_state_and_what_needs_a_person_stays(owner: Browser, agency: Agency) -> None:
    factories.make_run(factories.make_pipeline(factories.make_client(agency, "aspen")), at="compare", status="running")
    factories.make_run(factories.make_pipeline(factories.make_client(agency, "yew")), at="finetune", status="failed")
    factories.make_production(factories.make_pipeline(factories.make_client(agency, "oak")))
    factories.make_client(agency, "elm")

    def listed(show: str) -> list[str]:
        shown = owner.get("/", {"show": show}).context["overview"]
        assert len(shown.needing) == 1
        return [line.client.slug for line in shown.lines] + [client.slug for client in shown.bare]

    assert listed("needs") == ["yew"]
    assert listed("live") == ["aspen"]
    assert listed("bare") == ["yew", "aspen", "elm"]
    assert listed("nonsense") == listed("all") == ["yew", "aspen", "oak", "elm"]


def test_a_view_is_kept_under_a_name_by_whom_it_belongs_to_and_taken_away(
    owner: Browser, viewer: Browser, agency: Agency, acorn: Client
) -> None:
    kept = viewer.post("/views/", {"name": " On  its way ", "query": "show=live&q=aco&evil=1&sort=needs"})
    assert kept["Location"] == "/?q=aco&show=live"

    assert viewer.get("/").context["views"] == [{"name": "On its way", "query": "q=aco&show=live"}]
    assert 'href="/?q=aco&amp;show=live"' in viewer.get("/").text
    assert owner.get("/").context["views"] == []

    viewer.post("/views/", {"name": "On its way"})
    assert viewer.get("/").context["views"] == []


def test_a_view_needs_a_name_and_there_is_an_end_of_them(viewer: Browser, agency: Agency) -> None:
    assert "Give the view a name." in viewer.post("/views/", {"query": "show=live"}, follow=True).text
    for number in range(21):
        last = viewer.post("/views/", {"name": f"view {number:02}", "query": "show=live"}, follow=True)
    assert "There are 20 views already" in last.text and len(last.context["views"]) == 20


def test_a_run_that_waits_says_how_many_are_before_it(owner: Browser, agency: Agency) -> None:
    clients = [factories.make_client(agency, slug) for slug in ("acorn", "birch")]
    runs = [factories.make_run(factories.make_pipeline(client), at="evaluate") for client in clients]
    for run in runs:
        with factories.inside(run):
            Job.objects.filter(run=run).delete()
            times = {"created_at": factories.NOW, "due_at": factories.NOW}
            Job.of(run, run=run, stage="evaluate", kind="evaluate", queue="cpu", **times).save()

    pages = [reverse("overview"), reverse("pipeline", args=["birch", "support"])]
    pages.append(reverse("run", args=["birch", "support", runs[1].number]))

    assert "waits for a worker; it is next" in owner.get(pages[0]).text
    assert all("waits for a worker; 1 before it" in owner.get(page).text for page in pages)


def test_every_second_week_counts_from_when_the_schedule_was_set(owner: Browser, acorn: Client) -> None:
    rule = {"rule": "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", "at": "04:00"}
    pipeline = factories.make_pipeline(acorn, triggers={"schedule": rule})
    with factories.inside(acorn):
        SettingsRevision.objects.filter(pipeline=pipeline).update(created_at=datetime(2026, 3, 3, tzinfo=UTC))
        row = Pipeline.objects.select_related("client", "revision").get(pk=pipeline.pk)
        set_at = anchors_of([row])[row.pk]

    weeks = [next_scheduled(row, datetime(2026, 3, day, 12, tzinfo=UTC), set_at) for day in (4, 11, 18)]
    page = owner.get("/").context["page"]

    assert [at and at.day for at in weeks] == [16, 16, 30]
    assert page.object_list[0].next_at == next_scheduled(row, page.object_list[0].now, set_at)


def test_the_next_time_is_right_to_the_minute_although_it_is_worked_out_by_the_hour(acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn, triggers={"schedule": {"rule": "FREQ=DAILY", "at": "04:30"}})
    before, at = datetime(2026, 3, 3, 4, 29, tzinfo=UTC), datetime(2026, 3, 3, 4, 30, tzinfo=UTC)

    with factories.inside(acorn):
        assert next_scheduled(pipeline, before) == at
        assert next_scheduled(pipeline, at) == at + timedelta(days=1)


def test_only_the_lines_of_the_page_are_read_whole(owner: Browser, agency: Agency) -> None:
    for number in range(28):
        factories.make_pipeline(factories.make_client(agency, f"one-of-{number}"))

    shown = owner.get("/?sort=name").context["overview"].lines

    assert len(shown) == 28 and len(shown.read) == 25
