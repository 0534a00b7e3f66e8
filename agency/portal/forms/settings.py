"""The settings form: every value of a pipeline's settings as a field, named by its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from agency.mail.kinds import MAIL_KINDS
from agency.portal.forms.fields import RetuneForm, dress
from agency.portal.forms.settings_fields import (
    GATE_FIELDS,
    NOTICE_FIELDS,
    OPTIONAL_STAGES,
    SECTIONS,
    STEP_FIELDS,
    trainers_here,
)
from tenants.models.settings_revision import digest_of, flatten
from tenants.pipeline_settings import ALWAYS_ON, STAGES, PipelineSettings
from tenants.telling.rules import NOTICE_KINDS

SPARE_ROWS = 1


@dataclass(frozen=True)
class Group:
    """A titled group of bound fields."""

    key: str
    title: str | Promise
    fields: list[forms.BoundField]


class SettingsForm(RetuneForm):
    """`settings` fills it; `body()` gives back what PipelineSettings reads. It keeps whatever was typed."""

    def __init__(
        self, settings: PipelineSettings, hosts: Sequence[str], data: Any = None, services: Sequence[str] = ()
    ) -> None:
        self.gate_rows = _rows(data, "gates", len(settings.gates))
        self.step_rows = _rows(data, "rollout.steps", len(settings.rollout.steps))
        super().__init__(data, initial=initial_of(settings))
        self._add_fields(settings, hosts)
        offered = [*trainers_here(), *(f"remote:{name}" for name in services)]
        chosen = [] if settings.recipe.trainer in offered else [settings.recipe.trainer]
        self.fields["recipe.trainer"].choices = [(name, name) for name in [*offered, *chosen]]  # type: ignore[attr-defined]
        for field in self.fields.values():
            dress(field.widget)

    def _add_fields(self, settings: PipelineSettings, hosts: Sequence[str]) -> None:
        for section in SECTIONS:
            self.fields |= {name: make() for name, make in section.fields.items()}
        for prefix, rows, makers in (
            ("gates", self.gate_rows, GATE_FIELDS),
            ("rollout.steps", self.step_rows, STEP_FIELDS),
        ):
            made = {f"{prefix}.{row}.{name}": make for row in range(rows) for name, make in makers.items()}
            self.fields |= {name: make() for name, make in made.items()}
        rules = {f"notices.{kind}.{name}": make for kind in NOTICE_KINDS for name, make in NOTICE_FIELDS.items()}
        self.fields |= {name: make() for name, make in rules.items()}
        known = sorted({*hosts, *settings.hosts})
        self.fields["hosts"].choices = [(name, name) for name in known]  # type: ignore[attr-defined]

    def groups(self) -> Iterator[Group]:
        for section in SECTIONS:
            yield Group(section.key, section.title, [self[name] for name in section.fields])

    def gates(self) -> list[list[forms.BoundField]]:
        return [[self[f"gates.{row}.{name}"] for name in GATE_FIELDS] for row in range(self.gate_rows)]

    def steps(self) -> list[list[forms.BoundField]]:
        return [[self[f"rollout.steps.{row}.{name}"] for name in STEP_FIELDS] for row in range(self.step_rows)]

    def notices(self) -> Iterator[tuple[str, str | Promise, list[forms.BoundField]]]:
        """(kind, its word, its fields)."""
        for kind in NOTICE_KINDS:
            yield kind, MAIL_KINDS[kind].verdict, [self[f"notices.{kind}.{name}"] for name in NOTICE_FIELDS]

    def body(self) -> dict[str, Any]:
        """The settings as typed, nested; rows without a name or share are left out."""
        given = self.cleaned_data
        flat = {name: given.get(name) for section in SECTIONS for name in section.fields}
        chosen = flat.pop("stages") or ()
        if not flat.pop("triggers.has_schedule"):
            flat = {name: value for name, value in flat.items() if not name.startswith("triggers.schedule.")}
        body = nest({name: value for name, value in flat.items() if value is not None or name in NULLABLE})
        body["stages"] = [name for name in STAGES if name in ALWAYS_ON or name in chosen]
        body["gates"] = [self._row("gates", row, GATE_FIELDS) for row in self.kept("gates")]
        body["rollout"]["steps"] = [self._row("rollout.steps", row, STEP_FIELDS) for row in self.kept("rollout.steps")]
        rules = {kind: self._row("notices", kind, NOTICE_FIELDS) for kind in NOTICE_KINDS}
        body["notices"] = {kind: rule for kind, rule in rules.items() if rule}
        return body

    def kept(self, prefix: str) -> list[int]:
        """Numbers of the rows that count, in order."""
        rows, key = (self.gate_rows, "name") if prefix == "gates" else (self.step_rows, "share")
        return [row for row in range(rows) if self.cleaned_data.get(f"{prefix}.{row}.{key}")]

    def names(self) -> dict[str, str]:
        """Path in the settings -> field, where the two differ."""
        found = {
            "criteria.output": "criteria.output.kind",
            "triggers.schedule": "triggers.schedule.rule",
            "rollout": "rollout.max_step_s",
        }
        for prefix, makers, first in (("gates", GATE_FIELDS, "name"), ("rollout.steps", STEP_FIELDS, "share")):
            for place, row in enumerate(self.kept(prefix)):
                found[f"{prefix}.{place}"] = f"{prefix}.{row}.{first}"
                found |= {f"{prefix}.{place}.{name}": f"{prefix}.{row}.{name}" for name in makers}
        return found

    def _row(self, prefix: str, row: int | str, makers: Mapping[str, Any]) -> dict[str, Any]:
        values = {name: self.cleaned_data.get(f"{prefix}.{row}.{name}") for name in makers}
        return {name: value for name, value in values.items() if value is not None and value != ""}


NULLABLE = {"triggers.new_examples", "triggers.quality_below", "drills.every_days"}
NULLABLE |= {"remind_after_s", "escalate_after_s"}


def _rows(data: Any, prefix: str, stored: int) -> int:
    """How many rows the form shows: as many as were sent, else those stored and a spare one. Bounded."""
    if data is None:
        return stored + SPARE_ROWS
    sent = {name.split(".")[prefix.count(".") + 1] for name in data if name.startswith(f"{prefix}.")}
    return min(max((int(n) + 1 for n in sent if n.isdigit()), default=0), 40)


def initial_of(settings: PipelineSettings) -> dict[str, Any]:
    """Paths and values of all settings, as the form's fields show them."""
    body = settings.model_dump(mode="python")
    schedule = settings.triggers.schedule
    whole = {"criteria.metrics", "criteria.output.labels", "criteria.output.fields", "data.secret_kinds"}
    whole |= {"hosts", "recipients", "change.windows", "change.blackouts"}
    found = {name: value for name, value in flatten(_listed(body)).items() if name not in whole}
    found |= {name: list(_at(body, name)) for name in whole}
    found |= {f"notices.{kind}.{name}": value for kind, rule in body["notices"].items() for name, value in rule.items()}
    found["stages"] = [name for name in OPTIONAL_STAGES if name in settings.stages]
    found["triggers.has_schedule"] = schedule is not None
    if schedule is not None:
        found["triggers.schedule.at"] = f"{schedule.at:%H:%M}"
    return found


def _listed(value: Any) -> Any:
    match value:
        case dict():
            return {key: _listed(item) for key, item in value.items()}
        case tuple() | list():
            return [_listed(item) for item in value]
    return value


def _at(body: Any, path: str) -> Any:
    for part in path.split("."):
        body = body[part]
    return body


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} -> {"a": {"b": 1}}."""
    body: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, last = path.split(".")
        place = body
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return body


class SaveForm(RetuneForm):
    """Beside the fields: the revision that the page was opened with. Beside the diff: why, and what was reviewed."""

    reason = forms.CharField(label=_("Why"), max_length=500, required=False, help_text=_("Kept with the revision."))
    base = forms.IntegerField(widget=forms.HiddenInput)
    reviewed = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    @property
    def base_seen(self) -> int | None:
        """The revision of the page that sent this; None where it names none."""
        self.is_valid()
        return self.cleaned_data.get("base")

    def beside(self, base: int, body: Any) -> SaveForm:
        """The form beside the difference that `body` makes to revision `base`."""
        again = {"base": base, "reviewed": digest_of(body), "reason": self.data.get("reason", "")}
        return SaveForm(initial=again)

    def fault(self, body: Any) -> str:
        """Why `body` is not saved: it is not what was reviewed. Empty where it is. For a valid form."""
        if self.cleaned_data["reviewed"] == digest_of(body):
            return ""
        return not_reviewed()


def not_reviewed() -> str:
    return gettext("This is not what was reviewed. Here is what would change now: look again, then save.")
