"""Whether a run starts now: schedule, data, quality, a person; else why not and when it next can."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import isfinite
from zoneinfo import ZoneInfo

from pipelines.domain.schedule import missed, next_occurrences, occurrences

DEFERRED = "; deferred: "
LATE = timedelta(minutes=15)  # From then on a scheduled start says what kept it; looks are minutes apart.
QUALITY_WINDOW = timedelta(days=7)  # Over how long the quality of answers is taken.


class TriggerKind(StrEnum):
    """What started a run."""

    SCHEDULE = "schedule"
    DATA = "data"
    QUALITY = "quality"
    PERSON = "person"
    API = "api"


@dataclass(frozen=True)
class TriggerSettings:
    """What may start a run by itself; None switches a trigger or cap off. Intervals count from `schedule_set_at`.

    `spread`: so much later than due a scheduled run starts, lest everybody's 04:00 be one moment.
    """

    schedule_rule: str | None = None
    time_zone: str = "UTC"
    schedule_set_at: datetime | None = None
    spread: timedelta = timedelta(0)
    new_examples: int | None = 500
    quality_below: float | None = 0.85
    quality_sample: int = 100
    cooldown: timedelta = timedelta(hours=48)
    runs_per_day: int | None = 4
    cost_per_month: float | None = None


@dataclass(frozen=True)
class Forced:
    """A person or a program asks for a run, with a reason."""

    kind: TriggerKind
    reason: str


@dataclass(frozen=True)
class TriggerFacts:
    """What is known at `now`. `schedule_handled_until`: the last due time that led to a run (or the schedule's start).

    `new_examples`: accepted, not in production's data, not parked. `quality`: of `quality_sample` outcomes.
    `held_back`: when the answer last became another "not yet", and which.
    """

    schedule_handled_until: datetime | None = None
    new_examples: int = 0
    quality: float | None = None
    quality_sample: int = 0
    quality_run_ended_at: datetime | None = None
    rolled_back_at: datetime | None = None
    has_live_run: bool = False
    started_at: tuple[datetime, ...] = ()  # of the runs of the last 24 h at least
    cost_this_month: float = 0.0
    forced: Forced | None = None
    held_back: tuple[datetime, str] | None = None


@dataclass(frozen=True)
class Occasion:
    """Why a run starts. One run per (pipeline, due_at); `missed`: earlier due times that collapsed into this one."""

    kind: TriggerKind
    due_at: datetime
    sentence: str
    missed: int = 0


@dataclass(frozen=True)
class Start:
    """A run starts."""

    occasion: Occasion


@dataclass(frozen=True)
class NotYet:
    """No run starts; `next_eligible_at` None: no time is known at which it would."""

    reason: str
    next_eligible_at: datetime | None = None


def should_start(settings: TriggerSettings, facts: TriggerFacts, now: datetime) -> Start | NotYet:
    """The decision at `now`. A person may force past cooldown and caps, never past a live run."""
    if facts.has_live_run:
        return kept_back("a run of this pipeline is live", settings, facts, now)
    if facts.forced is not None:
        return Start(Occasion(facts.forced.kind, now, facts.forced.reason))
    occasion = _due(settings, facts, now)
    if occasion is None:
        return NotYet(*_nothing_due(settings, facts, now))
    return _held_back(settings, facts, now, occasion) or Start(_explained(settings, facts, now, occasion))


def kept_back(why: str, settings: TriggerSettings, facts: TriggerFacts, now: datetime) -> NotYet:
    """Nothing starts, whatever is due; a schedule that comes round meanwhile is named, so that no miss is silent."""
    scheduled = _scheduled(settings, facts, now)
    return NotYet(f"{why}{DEFERRED}{scheduled.sentence}" if scheduled else why)


def _explained(settings: TriggerSettings, facts: TriggerFacts, now: datetime, occasion: Occasion) -> Occasion:
    """A scheduled run that comes late, or in the place of several, says why."""
    if occasion.kind is not TriggerKind.SCHEDULE:
        return occasion
    first = _missed(settings, facts, now)[0] + settings.spread
    if now - first < LATE:
        return occasion
    why = "nobody looked at the time: the ticker stood still"
    if facts.held_back is not None and facts.held_back[0] >= first:
        why = f"held back: {facts.held_back[1].partition(DEFERRED)[0]}"
    return replace(occasion, sentence=f"{occasion.sentence} ({why})")


def _due(settings: TriggerSettings, facts: TriggerFacts, now: datetime) -> Occasion | None:
    return _scheduled(settings, facts, now) or _enough_data(settings, facts, now) or _poor(settings, facts, now)


def _scheduled(settings: TriggerSettings, facts: TriggerFacts, now: datetime) -> Occasion | None:
    due = _missed(settings, facts, now)
    if not due:
        return None
    sentence = f"due {_local(due[-1], settings)}"
    if len(due) > 1:
        sentence += f", with {len(due) - 1} missed before"
    return Occasion(TriggerKind.SCHEDULE, due[-1], sentence, len(due) - 1)


def _missed(settings: TriggerSettings, facts: TriggerFacts, now: datetime) -> list[datetime]:
    """Due times whose start, a while later, has come and that led to no run."""
    handled = facts.schedule_handled_until or settings.schedule_set_at
    if settings.schedule_rule is None or handled is None:
        return []
    anchor = settings.schedule_set_at or handled
    return missed(settings.schedule_rule, settings.time_zone, handled, now - settings.spread, anchor)


def _enough_data(settings: TriggerSettings, facts: TriggerFacts, now: datetime) -> Occasion | None:
    if settings.new_examples is None or facts.new_examples < settings.new_examples:
        return None
    return Occasion(TriggerKind.DATA, now, f"{facts.new_examples} new examples >= {settings.new_examples}")


def _poor(settings: TriggerSettings, facts: TriggerFacts, now: datetime) -> Occasion | None:
    limit, quality = settings.quality_below, facts.quality
    if limit is None or quality is None or not isfinite(quality) or facts.quality_sample < settings.quality_sample:
        return None
    if quality >= limit:
        return None
    return Occasion(TriggerKind.QUALITY, now, f"quality {quality:.3f} < {limit:.3f}, n={facts.quality_sample}")


def cooldown_until(settings: TriggerSettings, facts: TriggerFacts) -> tuple[datetime, str] | None:
    """End of the latest cooldown and what caused it; None when nothing ever did."""
    causes = ((facts.quality_run_ended_at, "a quality-triggered run"), (facts.rolled_back_at, "a rollback"))
    ends = [(at + settings.cooldown, cause) for at, cause in causes if at is not None]
    return max(ends, default=None)


def _held_back(settings: TriggerSettings, facts: TriggerFacts, now: datetime, occasion: Occasion) -> NotYet | None:
    cooldown = cooldown_until(settings, facts)
    if cooldown is not None and now < cooldown[0]:
        until = _local(cooldown[0], settings)
        return NotYet(f"cooldown after {cooldown[1]} until {until}; deferred: {occasion.sentence}", cooldown[0])
    recent = sorted(at for at in facts.started_at if at > now - timedelta(days=1))
    if settings.runs_per_day is not None and len(recent) >= settings.runs_per_day:
        free_at = recent[-settings.runs_per_day] + timedelta(days=1) if settings.runs_per_day else None
        return NotYet(f"{len(recent)} runs in 24 h, at most {settings.runs_per_day}: {occasion.sentence}", free_at)
    if settings.cost_per_month is not None and facts.cost_this_month >= settings.cost_per_month:
        spent = f"{facts.cost_this_month:.2f} of {settings.cost_per_month:.2f} spent this month"
        return NotYet(f"{spent}: {occasion.sentence}", _next_month(now, settings))
    return None


def _next_month(now: datetime, settings: TriggerSettings) -> datetime:
    first = now.astimezone(ZoneInfo(settings.time_zone)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def _local(at: datetime, settings: TriggerSettings) -> str:
    return f"{at.astimezone(ZoneInfo(settings.time_zone)):%Y-%m-%d %H:%M} {settings.time_zone}"


def _nothing_due(settings: TriggerSettings, facts: TriggerFacts, now: datetime) -> tuple[str, datetime | None]:
    next_at = _next_due(settings, now - settings.spread)
    parts = [f"next schedule {_local(next_at, settings)}"] if next_at else []
    if next_at and settings.spread:
        next_at += settings.spread
        parts[0] += f", starts {next_at.astimezone(ZoneInfo(settings.time_zone)):%H:%M:%S}"
    if settings.new_examples is not None:
        parts.append(f"{facts.new_examples} of {settings.new_examples} new examples")
    if settings.quality_below is not None:
        parts.append(_quality_words(settings, facts))
    return "; ".join(parts) or "no trigger is switched on", next_at


def _next_due(settings: TriggerSettings, now: datetime) -> datetime | None:
    if settings.schedule_rule is None:
        return None
    anchor = settings.schedule_set_at or now
    return next(iter(next_occurrences(settings.schedule_rule, settings.time_zone, now, 1, anchor)), None)


def _quality_words(settings: TriggerSettings, facts: TriggerFacts) -> str:
    if facts.quality is None or not isfinite(facts.quality):
        return "quality not measured"
    n = facts.quality_sample
    if n < settings.quality_sample:
        return f"quality {facts.quality:.3f} on {n} of {settings.quality_sample} samples"
    return f"quality {facts.quality:.3f} >= {settings.quality_below:.3f}, n={n}"


@dataclass(frozen=True)
class History:
    """What happened: (at, accepted examples then), (at, quality, sample), rollbacks."""

    accepted: tuple[tuple[datetime, int], ...] = ()
    quality: tuple[tuple[datetime, float, int], ...] = ()
    rolled_back_at: tuple[datetime, ...] = ()


@dataclass(frozen=True)
class Look:
    """A moment at which something was due: it would have started, or was held back for this reason."""

    at: datetime
    kind: TriggerKind
    sentence: str
    is_start: bool


def backtest(settings: TriggerSettings, history: History, now: datetime, days: int = 90) -> tuple[Occasion, ...]:
    """What these settings would have started in the last `days`, every run taken as promoted at once."""
    return tuple(occasion for _, occasion, held in _walk(settings, history, now, days) if held is None)


def looks(settings: TriggerSettings, history: History, now: datetime, days: int = 90) -> tuple[Look, ...]:
    """The same walk, with what was due and held back; the same reason is told once until something starts."""
    found: list[Look] = []
    for at, occasion, held in _walk(settings, history, now, days):
        told = occasion.sentence if held is None else held.reason
        is_again = held is not None and found and not found[-1].is_start and found[-1].kind is occasion.kind
        if not is_again:
            found.append(Look(at, occasion.kind, told, held is None))
    return tuple(found)


def _walk(
    settings: TriggerSettings, history: History, now: datetime, days: int
) -> Iterator[tuple[datetime, Occasion, NotYet | None]]:
    """Every moment at which something was due, with what held it back."""
    since, fired = now - timedelta(days=days), list[Occasion]()
    facts = TriggerFacts(schedule_handled_until=since)
    queue = sorted(_moments(settings, history, since, now))
    while queue:
        at = queue.pop(0)
        facts = _facts_at(facts, history, at, fired)
        match should_start(settings, facts, at):
            case Start(occasion):
                yield at, occasion, None
                fired.append(occasion)
                facts = _after_start(facts, occasion, at)
            case NotYet(_, next_at) as held:
                facts = replace(facts, held_back=(at, held.reason))
                due = _due(settings, facts, at)
                if due is not None:
                    yield at, due, held
                if next_at is not None and at < next_at <= now and next_at not in queue:
                    queue = sorted([*queue, next_at])


def _moments(settings: TriggerSettings, history: History, since: datetime, now: datetime) -> set[datetime]:
    moments = {at for at, _ in history.accepted} | {at for at, _, _ in history.quality}
    if settings.schedule_rule is not None:
        anchor = settings.schedule_set_at or since
        moments |= set(_until(occurrences(settings.schedule_rule, settings.time_zone, since, anchor), now))
    return {at for at in moments if since < at <= now}


def _until(times: Iterable[datetime], now: datetime) -> Iterable[datetime]:
    for at in times:
        if at > now:
            return
        yield at


def _facts_at(facts: TriggerFacts, history: History, at: datetime, fired: list[Occasion]) -> TriggerFacts:
    trained_at = fired[-1].due_at if fired else None
    new = sum(n for when, n in history.accepted if when <= at and (trained_at is None or when > trained_at))
    known = [(quality, sample) for when, quality, sample in history.quality if when <= at]
    quality, sample = known[-1] if known else (None, 0)
    rolled_back_at = max((when for when in history.rolled_back_at if when <= at), default=None)
    return replace(facts, new_examples=new, quality=quality, quality_sample=sample, rolled_back_at=rolled_back_at)


def _after_start(facts: TriggerFacts, occasion: Occasion, at: datetime) -> TriggerFacts:
    facts = replace(facts, started_at=(*facts.started_at, at))
    match occasion.kind:
        case TriggerKind.SCHEDULE:
            return replace(facts, schedule_handled_until=occasion.due_at)
        case TriggerKind.QUALITY:
            return replace(facts, quality_run_ended_at=at)
    return facts
