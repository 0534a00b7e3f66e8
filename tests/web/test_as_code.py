"""Settings from files and programs: read strictly, compared before they are applied, refused with their place."""

from __future__ import annotations

from datetime import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client as Browser

from agency.as_code import changing, document
from agency.as_code.document import BadDocument
from tenants.actions import change_settings
from tenants.models import AuditEvent, Client, Pipeline
from tests import factories

NEVER = "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"
URL = "/rest/v1/pipelines/support/settings"


@pytest.fixture
def pipeline(acorn: Client) -> Pipeline:
    return factories.make_pipeline(acorn)


def run(order: str, target: str = "acorn/support", *words: str, **options: Any) -> str:
    out = StringIO()
    call_command("pipeline", order, target, *words, stdout=out, stderr=StringIO(), **options)
    return out.getvalue()


@pytest.fixture
def file(pipeline: Pipeline, tmp_path: Path) -> Path:
    path = tmp_path / "support.yaml"
    path.write_text(run("export"))
    return path


def edit(file: Path, change: dict[str, Any]) -> None:
    body = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(factories.merged(body, change), sort_keys=False))


def test_what_was_exported_differs_in_nothing(file: Path) -> None:
    assert run("diff", "acorn/support", str(file)) == "Nothing differs.\n"
    assert run("apply", "acorn/support", str(file)) == "Nothing differs from r1.\n"


def test_a_change_is_told_by_diff_and_made_by_apply(file: Path, pipeline: Pipeline) -> None:
    edit(file, {"settings": {"triggers": {"new_examples": 250}}})

    with pytest.raises(SystemExit) as ended:
        run("diff", "acorn/support", str(file))
    said = run("apply", "acorn/support", str(file), reason="commit 1f2e3d4")

    assert ended.value.code == 2
    assert said.splitlines() == ["triggers.new_examples: 500 -> 250", "Revision r2 holds from the next run on."]
    with factories.inside(pipeline):
        assert AuditEvent.objects.get(verb="settings.change", subject="support r2").detail["reason"] == "commit 1f2e3d4"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": {"recipe": {"lora_rank": 0}}}, "settings.recipe.lora_rank"),
        ({"settings": {"recipe": {"base": "elsewhere"}}}, "recipe.base: elsewhere is not registered here"),
        ({"settings": {"recipe": {"trainer": "magic"}}}, "recipe.trainer: magic is not registered here"),
        ({"settings": {"hosts": ["nowhere"]}}, "hosts: the client has no host nowhere"),
        ({"settings": {"criteria": {"metrics": ["guesswork"]}}}, "guesswork"),
        ({"settings": {"surprise": 1}}, "settings.surprise: Extra inputs are not permitted"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"retune": 2}, "retune: Input should be 1"),
        ({"pipeline": "another"}, "The file is of pipeline another, not of support."),
        ({"base_digest": "0" * 64}, "the file was written for 000000000000"),
        ({"settings": {"triggers": {"schedule": {"rule": NEVER, "at": "04:00"}}}}, "rule"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_work_here_is_refused_and_changes_nothing(
    file: Path, pipeline: Pipeline, change: dict[str, Any], said: str
) -> None:
    edit(file, change)

    for order in ("diff", "apply"):
        with pytest.raises(CommandError) as refused:
            run(order, "acorn/support", str(file))
        assert said in str(refused.value)
    with factories.inside(pipeline):
        assert [row.number for row in pipeline.revisions.all()] == [1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x [1]\nb: *x", "line 2: an alias"),
        ("a: 1\na: 2", "line 2: key a is there twice"),
        ("1: one", "key 1 is no text"),
        ("[" * 50 + "]" * 50, "nested too deep"),
        ("a: !!python/object/apply:os.system ['true']", "line 1: a tag"),
        ("a: !!int foo\nb: 1\nc: 2\n", "line 1: a tag"),
        ("a: ! b", "line 1: a tag"),
        ("name: 2026-13-45", "retune: Field required"),
        ("retune: 0b_", "retune: Input should be 1"),
        ("retune: " + "9" * 5000, "cannot be read"),
        ("a: [1", "no YAML"),
        ("--- 1\n--- 2", "no YAML"),
        ("", "valid dictionary"),
        ("just words", "valid dictionary"),
        ("x" * 1_000_001, "more than 1000000 characters"),
        ("a: \x00", "no YAML"),
    ],
    ids=[
        "alias",
        "twice",
        "number",
        "deep",
        "object",
        "int",
        "bare",
        "date",
        "binary",
        "digits",
        "open",
        "two",
        "empty",
        "words",
        "long",
        "nul",
    ],
)
def test_a_file_that_says_something_else_than_it_seems_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadDocument, match=said):
        document.read(text)


def test_a_time_without_quotes_is_the_time_that_it_looks_like() -> None:
    text = "retune: 1\npipeline: support\nsettings:\n  triggers:\n    schedule:\n      at: 14:00\n"

    found = document.read(text)

    assert found.settings.triggers.schedule and found.settings.triggers.schedule.at == time(14, 0)


@pytest.mark.parametrize("at", ["14:00+02:00", "14:00:00Z", "840", "24:00", "2 pm"])
def test_what_is_no_time_on_a_wall_is_refused(at: str) -> None:
    with pytest.raises(BadDocument, match="is no time of day"):
        document.read(f"retune: 1\npipeline: support\nsettings:\n  triggers:\n    schedule:\n      at: {at}\n")


def test_an_exported_schedule_and_name_read_back_as_they_were(pipeline: Pipeline) -> None:
    with factories.inside(pipeline):
        pipeline.name = "14:00"
        body = factories.merged(pipeline.revision.body, {"triggers": {"schedule": {"at": "14:00"}}})
        change_settings(pipeline, body, "ann", factories.NOW)

        found = document.read(document.write(pipeline, ""))

    assert (found.name, found.settings) == ("14:00", pipeline.settings)


def test_a_name_longer_than_its_column_is_refused_in_words() -> None:
    with pytest.raises(BadDocument, match="at most 200 characters"):
        document.read(f"retune: 1\npipeline: support\nname: {'x' * 201}\nsettings: {{}}\n")


def test_a_pipeline_is_made_only_where_that_is_asked_for(file: Path, acorn: Client) -> None:
    edit(file, {"pipeline": "second", "name": "The second"})

    with pytest.raises(CommandError, match="has no pipeline second"):
        run("apply", "acorn/second", str(file))
    edit(file, {"settings": {"hosts": ["nowhere"]}})
    with pytest.raises(CommandError, match="no host nowhere"):
        run("apply", "acorn/second", str(file), create=True)
    edit(file, {"settings": {"hosts": ["shop"]}})
    assert "acorn/second is made." in run("apply", "acorn/second", str(file), create=True)
    assert "Nothing differs from r1." in run("apply", "acorn/second", str(file), create=True)
    with factories.inside(acorn):
        assert Pipeline.objects.get(slug="second").name == "The second"


@pytest.mark.parametrize(
    ("name", "said"), [("My.Pipe", "no short name"), ("my pipe", "no short name"), ("audit", "a word of the product")]
)
def test_a_pipeline_that_would_have_no_page_is_not_made(file: Path, acorn: Client, name: str, said: str) -> None:
    edit(file, {"pipeline": name})

    with pytest.raises(CommandError, match=said):
        run("apply", f"acorn/{name}", str(file), create=True)

    with factories.inside(acorn):
        assert not Pipeline.objects.filter(slug=name).exists()


def test_a_file_of_a_pipeline_to_come_differs_in_everything_and_makes_nothing(file: Path, acorn: Client) -> None:
    assert run("diff", "acorn/support", str(file), create=True) == "Nothing differs.\n"
    edit(file, {"pipeline": "second", "name": "The second"})
    with pytest.raises(CommandError, match="has no pipeline second"):
        run("diff", "acorn/second", str(file))
    said = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("pipeline", "diff", "acorn/second", str(file), "--create", stdout=said)

    assert ended.value.code == 2 and "triggers.new_examples: null -> 500" in said.getvalue()
    with factories.inside(acorn):
        assert not Pipeline.objects.filter(slug="second").exists()
        assert not AuditEvent.objects.filter(subject="second").exists()

    edit(file, {"settings": {"hosts": ["nowhere"]}})
    with pytest.raises(CommandError, match="no host nowhere"):
        run("diff", "acorn/second", str(file), create=True)


@pytest.mark.parametrize("order", ["diff", "apply"])
def test_a_file_that_calls_the_pipeline_otherwise_is_refused(file: Path, order: str) -> None:
    edit(file, {"name": "Another"})

    with pytest.raises(CommandError, match=r"name: the pipeline is called .* and Another in the file"):
        run(order, "acorn/support", str(file))

    edit(file, {"name": ""})
    assert "Nothing differs" in run(order, "acorn/support", str(file))


class Program:
    def __init__(self, client: Client, *verbs: str) -> None:
        self.browser, self.headers = Browser(), {"Authorization": f"Bearer {factories.make_key(client, *verbs)}"}

    def get(self) -> Any:
        return self.browser.get(URL, headers=self.headers)

    def put(self, body: dict[str, Any]) -> Any:
        return self.browser.put(URL, body, content_type="application/json", headers=self.headers)


def test_a_program_reads_tries_and_changes_settings(pipeline: Pipeline, acorn: Client) -> None:
    program = Program(acorn, "settings")
    held = program.get().json()
    wanted = factories.merged(held["settings"], {"recipe": {"epochs": 5}})
    ask = {"settings": wanted, "base": held["revision"], "reason": "more epochs"}

    tried, made, stale = program.put(ask | {"dry_run": True}), program.put(ask), program.put(ask)

    change = {"path": "recipe.epochs", "before": held["settings"]["recipe"]["epochs"], "after": 5}
    assert (tried.status_code, tried.json()["revision"], tried.json()["changes"]) == (200, 1, [change])
    assert (made.status_code, made.json()["revision"], made.json()["changes"]) == (200, 2, [change])
    assert (stale.status_code, stale.json()["error"]["message"][:20]) == (409, "Revision r2 holds no")
    with factories.inside(pipeline):
        assert AuditEvent.objects.get(subject="support r2").actor.startswith("key-")


def test_of_two_programs_that_change_the_same_revision_at_once_one_is_told_to_read_again(
    pipeline: Pipeline, acorn: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, possible = Program(acorn, "settings"), changing.refuse
    held = program.get().json()
    wanted = factories.merged(held["settings"], {"recipe": {"epochs": 5}})
    first = factories.merged(held["settings"], {"triggers": {"new_examples": 250}})

    def another_is_faster(row: Pipeline, *asked: Any) -> None:
        possible(row, *asked)
        change_settings(Pipeline.objects.get(pk=row.pk), first, "another", factories.NOW)

    monkeypatch.setattr(changing, "refuse", another_is_faster)
    second = program.put({"settings": wanted, "base": held["revision"]})

    assert (second.status_code, second.json()["error"]["message"][:20]) == (409, "Revision r2 holds no")
    with factories.inside(pipeline):
        newest = Pipeline.objects.get(pk=pipeline.pk)
        assert (newest.settings.triggers.new_examples, newest.settings.recipe.epochs) == (
            250,
            held["settings"]["recipe"]["epochs"],
        )


def test_base_0_gives_a_pipeline_its_first_settings_and_only_those(pipeline: Pipeline, acorn: Client) -> None:
    program = Program(acorn, "settings")
    wanted = program.get().json()["settings"]
    with factories.inside(pipeline):
        pipeline.revision = None
        pipeline.save(update_fields=["revision"])

    first, second = (program.put({"settings": wanted, "base": 0}) for _ in range(2))

    assert (first.status_code, second.status_code) == (200, 409)


def test_a_program_is_told_what_cannot_work(pipeline: Pipeline, acorn: Client) -> None:
    program = Program(acorn, "settings")
    wanted = program.get().json()["settings"]

    unknown = program.put({"settings": wanted | {"hosts": ["nowhere"]}, "base": 1})
    wrong = program.put({"settings": wanted | {"recipe": {"lora_rank": -1}}, "base": 1, "dry_run": True})
    ask = {"settings": wanted, "base": 1, "base_digest": "0" * 64}
    other = [program.put(ask | {"dry_run": dry}) for dry in (False, True)]

    assert (unknown.status_code, wrong.status_code) == (422, 422)
    assert [answer.status_code for answer in other] == [422, 422]
    assert "base_digest: base tiny is" in other[0].json()["error"]["message"]
    assert "the client has no host nowhere" in unknown.json()["error"]["message"]
    assert "recipe.lora_rank" in wrong.json()["error"]["message"]


def test_the_verb_is_needed(pipeline: Pipeline, acorn: Client) -> None:
    assert Program(acorn, "runs", "versions").get().status_code == 403
