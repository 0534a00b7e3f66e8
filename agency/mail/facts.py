"""The facts behind a mail: failures with their numbers, deltas, gates, quarantined rows, the rollback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count, Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agency.mail import scores
from agency.mail.scores import Delta, GateLine
from agency.mail.words import moment, one_line
from pipelines.domain.canary import RULES, Guardrail
from pipelines.domain.transitions import JobStatus
from pipelines.models import (
    Example,
    ExampleState,
    GateResult,
    Job,
    ModelVersion,
    Notice,
    Rollback,
    Run,
    TriggerDecision,
)

SHOWN_DELTAS = 5
LOG_LINES = 12
WITHOUT_RUN = ("channel_off", "mail_down", "mail_up", "recovered")
SET_ASIDE = (ExampleState.QUARANTINED, ExampleState.DUPLICATE, ExampleState.LEFT_OUT)


@dataclass(frozen=True)
class Fact:
    name: str
    value: str


@dataclass(frozen=True)
class Facts:
    """What applies to the kind of the notice; the rest is empty. `log`: the last lines of a job that failed."""

    what: str
    verdict: str = ""
    brief: str = ""
    failures: tuple[str, ...] = ()
    deltas: tuple[Delta, ...] = ()
    gates: tuple[GateLine, ...] = ()
    quarantine: tuple[Fact, ...] = ()
    numbers: tuple[Fact, ...] = ()
    log: tuple[str, ...] = ()
    next_run: str = ""


def gather(notice: Notice) -> Facts:
    run = notice.run
    if run is None or notice.kind in WITHOUT_RUN:
        what = notice.detail.get("host") or notice.detail.get("channel", "")
        return Facts(what=one_line(what, 80), brief=_over(notice), failures=_of_host(notice))
    version = ModelVersion.objects.filter(run=run).first()
    back = _rollback(notice, run) if notice.kind == "rolled_back" else None
    gates = list(GateResult.objects.filter(run=run))
    bad = scores.deciding(notice, run, gates)
    deltas = scores.deltas(run)
    quarantine = _quarantine(run)
    return Facts(
        what=version.label if version else _("run %(number)s") % {"number": run.number},
        verdict=_("rolled back to %(to)s") % {"to": back.to_version.label} if back and back.to_version else "",
        brief=one_line(_brief(notice, bad, deltas, back) or _set_aside(notice, quarantine), 120),
        failures=_failures(notice, run, bad, back),
        deltas=deltas[:SHOWN_DELTAS],
        gates=tuple(scores.line(gate) for gate in gates if notice.kind != "rejected" or gate not in bad),
        quarantine=quarantine,
        numbers=_numbers(back) if back else _measured(notice.detail.get("numbers", {})),
        log=_log(run) if notice.kind == "failed" else (),
        next_run=_next_run(notice),
    )


def _of_host(notice: Notice) -> tuple[str, ...]:
    """What was found on a host, where no run is behind the notice."""
    said = one_line(notice.detail.get("reason", ""), 500)
    return (said,) if said else ()


def _over(notice: Notice) -> str:
    """What a recovery ended, and how often it was not told meanwhile."""
    if notice.kind != "recovered":
        return ""
    words = {"failed": _("runs fail"), "stopped": _("data"), "drill_failed": _("the way back"), "drift": _("a host")}
    words |= {"rollback_stuck": _("a rollback")}
    said, muted = str(words.get(notice.detail["of"], "")), int(notice.detail.get("muted", 0))
    more = ngettext("%(n)s repeat not mailed", "%(n)s repeats not mailed", muted) % {"n": muted}
    return f"{said}, {more}" if muted else said


def _brief(notice: Notice, bad: list[GateResult], deltas: tuple[Delta, ...], back: Rollback | None) -> str:
    """The few words in the subject that say by how much, or where."""
    main = f"{deltas[0].change}" if deltas else ""
    match notice.kind:
        case "promoted":
            return main
        case "rejected":
            return ", ".join([_("%(gate)s gate") % {"gate": gate.name} for gate in bad[:2]])
        case "rolled_back":
            return one_line(back.metric, 40) if back else ""
        case "noticed":
            return RULES[Guardrail(notice.detail["guardrail"])].words
        case "drill_failed":
            return _("to %(to)s") % {"to": notice.detail["to"]}
        case "rollback_stuck":
            return ", ".join(filter(None, (_("to %(to)s") % {"to": notice.detail["to"]}, notice.detail["given_up"])))
        case "held" | "failed" | "reminder" | "escalated":
            return str(notice.detail.get("stage", ""))
        case _:
            return ""


def _set_aside(notice: Notice, quarantine: tuple[Fact, ...]) -> str:
    rows = sum(int(fact.value) for fact in quarantine)
    if notice.kind != "stopped" or not rows:
        return ""
    return ngettext("%(rows)s row set aside", "%(rows)s rows set aside", rows) % {"rows": rows}


def _failures(notice: Notice, run: Run, bad: list[GateResult], back: Rollback | None) -> tuple[str, ...]:
    told = [scores.sentence(gate) for gate in bad]
    if back is not None:
        told = [back.sentence]
    if not told and notice.kind not in ("promoted", "decided"):
        told = [str(notice.detail.get("reason") or run.reason)]
    return tuple(one_line(sentence, 500) for sentence in told if sentence)


def _quarantine(run: Run) -> tuple[Fact, ...]:
    """Rows that this run's checks set aside, by state and rule, the most frequent first."""
    rows = Example.objects.filter(judged_in=run, state__in=SET_ASIDE).order_by()
    counts = rows.values_list("state", "rule").annotate(rows=Count("pk")).order_by("-rows", "rule")
    return tuple(Fact(_words(f"{state}: {rule or '-'}"), str(count)) for state, rule, count in counts)


def _words(name: str) -> str:
    """A name of the program as a person would write it: "near_duplicate" is "near duplicate"."""
    return one_line(name, 80).replace("_", " ")


def _rollback(notice: Notice, run: Run) -> Rollback | None:
    """The one that it tells of; where it names none, the latest of the run's version."""
    mine = Rollback.objects.filter(Q(rollout__run=run) | Q(from_version__run=run))
    named = notice.detail.get("rollback")
    found = mine.filter(pk=named) if named else mine
    return found.select_related("from_version", "to_version").first()


def _numbers(back: Rollback) -> tuple[Fact, ...]:
    """The exact values at the time of the decision, as they were written down."""
    seconds = "" if back.seconds is None else f"{back.seconds:.2f} s"
    known = [
        Fact(_("Decided by"), one_line(back.decided_by, 100)),
        Fact(_("Decided at"), moment(back.decided_at)),
        Fact(_("Phase"), one_line(back.phase)),
        Fact(_("Until its last answer"), seconds),
    ]
    return (*(fact for fact in known if fact.value), *_measured(back.numbers))


def _measured(numbers: Mapping[str, object]) -> tuple[Fact, ...]:
    facts = [Fact(_words(name), _figure(value)) for name, value in numbers.items()]
    return tuple(fact for fact in facts if fact.value)


def _figure(value: object) -> str:
    match value:
        case bool() | int() | str():
            return one_line(value, 80)
        case float():
            return f"{value:.4g}"
        case _:
            return ""


def _log(run: Run) -> tuple[str, ...]:
    job = Job.objects.filter(run=run, status=JobStatus.FAILED).order_by("-id").first()
    lines = job.log_tail.splitlines() if job else []
    return tuple(one_line(line, 160) for line in lines if line.strip())[-LOG_LINES:]


def _next_run(notice: Notice) -> str:
    """What the trigger ledger says of the next run; empty where triggers have not been looked at yet."""
    last = TriggerDecision.objects.filter(pipeline_id=notice.pipeline_id, started=False).first()
    if last is None:
        return ""
    if last.next_eligible_at is None or last.next_eligible_at <= notice.created_at:
        return one_line(last.reason)
    words = {"when": moment(last.next_eligible_at), "reason": one_line(last.reason)}
    return _("not before %(when)s: %(reason)s") % words
