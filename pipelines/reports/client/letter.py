"""The draft of a letter about a version that was taken back, out of the ledger, in the client's language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _

from pipelines.models import GateResult, PipelineState, Rollback
from pipelines.reports.client.problems import Problem, problem_of
from pipelines.reports.client.words import test_name


@dataclass(frozen=True)
class Draft:
    subject: str
    body: str


def draft_of(rollback: Rollback, sender: str, contact: str) -> Draft:
    """Paragraphs with a blank line between them; times in the zone that is active. A person edits and sends it.

    Of a rollback whose traffic has moved: before that there is nothing to tell."""
    problem, name = problem_of(rollback), rollback.pipeline.name
    day = date_format(timezone.localtime(problem.at), "DATE_FORMAT")
    subject = _("%(name)s: a version was taken back on %(day)s") % {"name": name, "day": day}
    return Draft(subject, "\n\n".join(_paragraphs(problem, name, sender, contact)))


def _paragraphs(problem: Problem, name: str, sender: str, contact: str) -> Iterator[str]:
    local = timezone.localtime(problem.at)
    at = f"{date_format(local, 'DATE_FORMAT')}, {local:%H:%M} {local.tzname()}"
    yield _("Good day,")
    answers = PipelineState.objects.filter(pipeline=problem.rollback.pipeline_id).select_related("production").first()
    if answers and answers.production:  # A letter may be written when the next version is in service already.
        words = {"name": name, "to": answers.production.label}
        yield _("your model %(name)s is in service and safe: version %(to)s answers all requests.") % words
    facts = {"at": at, "from": problem.from_label, "why": problem.sentence}
    yield _("On %(at)s version %(from)s was taken back. %(why)s") % facts
    yield " ".join(_touched(problem))
    tests = ", ".join(_passed(problem.rollback))
    if tests:
        yield _("Before it went into service it had passed these tests: %(tests)s.") % {"tests": tests}
    yield _("We are looking into the cause before another version is tried.")
    yield _("If you noticed anything, please tell us: %(contact)s") % {"contact": contact or sender}
    yield sender


def _touched(problem: Problem) -> Iterator[str]:
    if problem.touched is None:
        yield _("How many answers it had given is not known from the traffic.")
    else:
        said = _("It had given %(n)s answers by then, %(bad)s of them failed.")
        yield said % {"n": problem.touched, "bad": problem.errors}
    if problem.seconds is not None:
        seconds = number_format(round(problem.seconds, 1), 1).removesuffix(number_format(0.0, 1)[1:])
        yield _("Its last answer came %(s)s s after the decision.") % {"s": seconds}


def _passed(rollback: Rollback) -> list[str]:
    gates = GateResult.objects.filter(run_id=rollback.from_version.run_id, verdict="passed")
    return list(dict.fromkeys(test_name(gate).lower() for gate in gates))
