"""What one mail says, read from the rows that a notice is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.urls import reverse

from agency.mail import facts
from agency.mail.facts import Fact
from agency.mail.kinds import MAIL_KINDS
from agency.mail.safety import safe_now
from agency.mail.scores import Delta, GateLine
from agency.mail.words import moment, one_line
from pipelines.models import Notice

SUBJECT_CHARS = 150


@dataclass(frozen=True)
class Report:
    """One object for subject and body, all words already in the reader's language and free of line breaks.

    `what` is the version ("v14"), or the run where there is no version yet. `brief` is the number in the subject.
    """

    kind: str
    tone: str
    icon: str
    client: str
    pipeline: str
    what: str
    verdict: str
    brief: str
    safe: str
    headline: str
    advice: str
    failures: tuple[str, ...]
    deltas: tuple[Delta, ...]
    gates: tuple[GateLine, ...]
    quarantine: tuple[Fact, ...]
    numbers: tuple[Fact, ...]
    log: tuple[str, ...]
    next_run: str
    button: str
    url: str

    @property
    def subject(self) -> str:
        ending = f" ({self.brief})" if self.brief else ""
        words = (self.client, self.pipeline, self.what, f"{self.verdict}{ending}")
        return one_line(" ".join(word for word in words if word), SUBJECT_CHARS)


def report_of(notice: Notice) -> Report:
    """Reads a handful of rows of the notice's run. Raises KeyError for a kind that has no words."""
    kind = MAIL_KINDS[notice.kind]
    known = facts.gather(notice)
    return Report(
        kind=notice.kind,
        tone=kind.tone,
        icon=kind.icon,
        client=one_line(notice.client.name, 60),
        pipeline=one_line(notice.pipeline.name, 60),
        what=known.what,
        verdict=known.verdict or str(kind.verdict),
        brief=known.brief,
        safe=safe_now(notice),
        headline=str(kind.headline) % {"what": known.what, "since": _since(notice)},
        advice=str(kind.advice),
        failures=known.failures,
        deltas=known.deltas,
        gates=known.gates,
        quarantine=known.quarantine,
        numbers=known.numbers,
        log=known.log,
        next_run=known.next_run,
        button=str(kind.button),
        url=_address(notice),
    )


def _since(notice: Notice) -> str:
    """When the trouble began, for the kinds that say so."""
    said = notice.detail.get("since")
    return moment(datetime.fromisoformat(said)) if said else ""


def _address(notice: Notice) -> str:
    """The run's page; the pipeline's where the notice is about no run; that of its drills."""
    page = f"runs/{notice.run.number}/" if notice.run else ""
    page = "drills/" if notice.kind == "drill_failed" else page
    if notice.kind == "channel_off":
        return f"{settings.BASE_URL.rstrip('/')}{reverse('channels')}"
    return f"{settings.BASE_URL.rstrip('/')}/c/{notice.client.slug}/{notice.pipeline.slug}/{page}"
