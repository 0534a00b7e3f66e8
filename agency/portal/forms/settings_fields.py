"""The fields of the settings form, by path, in the order and groups of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import forms
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from agency.portal.forms.fields import DurationField, LinesField, PercentField
from agency.portal.words import WORDS
from pipelines.trainers import TRAINERS
from tenants.pipeline_settings import METRICS

Maker = Callable[[], forms.Field]
OPTIONAL_STAGES = ("validate", "compare", "monitor")

SCHEDULE_HINT = _(
    "An RFC 5545 rule, for example FREQ=MONTHLY;BYDAY=+1TU (first Tuesday of each month) or FREQ=WEEKLY;BYDAY=SA."
)


@dataclass(frozen=True)
class Section:
    key: str
    title: str | Promise
    fields: Mapping[str, Maker]


def whole(label: Any, **more: Any) -> Maker:
    return partial(forms.IntegerField, label=label, **more)


def optional(label: Any, **more: Any) -> Maker:
    return partial(forms.IntegerField, label=label, required=False, **more)


def number(label: Any, **more: Any) -> Maker:
    return partial(forms.FloatField, label=label, **more)


def percent(label: Any, **more: Any) -> Maker:
    return partial(PercentField, label=label, **more)


def period(label: Any, **more: Any) -> Maker:
    return partial(DurationField, label=label, **more)


def yes(label: Any, **more: Any) -> Maker:
    return partial(forms.BooleanField, label=label, required=False, **more)


def lines(label: Any, **more: Any) -> Maker:
    return partial(LinesField, label=label, required=False, **more)


def one_of(label: Any, values: Callable[[], list[str]], **more: Any) -> Maker:
    def make() -> forms.Field:
        shown = [(v, v.replace("_", " ") if v.islower() else v) for v in values()]
        return forms.ChoiceField(label=label, choices=shown, **more)

    return make


def some_of(label: Any, values: Callable[[], list[str]], **more: Any) -> Maker:
    def make() -> forms.Field:
        shown = [(v, WORDS.get(v, v)) for v in values()]
        boxes = forms.CheckboxSelectMultiple
        return forms.MultipleChoiceField(label=label, choices=shown, widget=boxes, required=False, **more)

    return make


SECTIONS: tuple[Section, ...] = (
    Section(
        "stages",
        _("Stages"),
        {
            "stages": some_of(
                _("Also run"),
                lambda: list(OPTIONAL_STAGES),
                help_text=_("Trigger, fine-tune, evaluate and deploy always run."),
            )
        },
    ),
    Section(
        "triggers",
        _("Triggers"),
        {
            "triggers.has_schedule": yes(_("Run on a schedule")),
            "triggers.schedule.rule": partial(
                forms.CharField,
                label=_("Rule"),
                required=False,
                initial="FREQ=MONTHLY;BYDAY=+1TU",
                help_text=SCHEDULE_HINT,
            ),
            "triggers.schedule.at": partial(
                forms.TimeField, label=_("At (client's local time)"), required=False, initial="04:00"
            ),
            "triggers.new_examples": optional(_("Run at this many new examples"), help_text=_("Empty: never.")),
            "triggers.quality_below": percent(
                _("Run when quality falls below, %"), required=False, help_text=_("Empty: never.")
            ),
            "triggers.quality_min_sample": whole(_("… judged on at least this many answers")),
            "triggers.cooldown_s": period(
                _("Cooldown"), help_text=_("After a quality run or a rollback. For example 48 h.")
            ),
            "triggers.max_runs_per_day": whole(_("Runs a day at most")),
        },
    ),
    Section(
        "data",
        _("Data checks"),
        {
            "data.min_new_examples": whole(_("New examples at least")),
            "data.max_malformed_share": percent(_("Malformed rows at most, %")),
            "data.near_duplicate_jaccard": number(_("Near duplicate from (Jaccard)")),
            "data.max_label_shift": percent(_("Label shift at most, %")),
            "data.max_label_share": percent(_("One label at most, %")),
            "data.min_quality": number(_("Quality score at least")),
        },
    ),
    Section(
        "recipe",
        _("Recipe"),
        {
            "recipe.base": one_of(_("Base model"), lambda: list(settings.BASES)),
            "recipe.trainer": one_of(_("Trainer"), lambda: sorted(TRAINERS)),
            "recipe.quantisation": one_of(_("Quantisation"), lambda: ["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16"]),
            "recipe.lora_rank": whole(_("LoRA rank")),
            "recipe.lora_alpha": whole(_("LoRA alpha")),
            "recipe.learning_rate": number(_("Learning rate")),
            "recipe.epochs": whole(_("Epochs")),
            "recipe.batch_size": whole(_("Batch size")),
            "recipe.max_tokens": whole(_("Tokens an example at most")),
            "recipe.seed": whole(_("Seed")),
        },
    ),
    Section(
        "criteria",
        _("Criteria"),
        {
            "criteria.metrics": some_of(_("Metrics"), lambda: list(METRICS)),
            "criteria.output.kind": one_of(_("A good answer is"), lambda: ["text", "label", "json"]),
            "criteria.output.labels": lines(_("Labels"), help_text=_("For label: one a line.")),
            "criteria.output.fields": lines(_("Fields"), help_text=_("For json: one a line.")),
            "criteria.max_answer_tokens": whole(_("Tokens an answer at most")),
            "criteria.context_tokens": whole(_("Context, tokens")),
            "criteria.latency_calls": whole(_("Latency: calls a round")),
            "criteria.latency_rounds": whole(_("Latency: rounds at most")),
        },
    ),
    Section(
        "rollout",
        _("Canary"),
        {
            "rollout.max_step_s": period(_("A step takes at most")),
            "rollout.min_keys": whole(_("Conversations on the candidate at least")),
            "rollout.safe_evidence": number(_("Evidence that it is safe (likelihood ratio)")),
            "rollout.check_every_s": period(_("Look every")),
            "rollout.request_timeout_s": period(_("A request may take at most")),
            "rollout.is_literal": yes(
                _("Roll back at 5 % below, without evidence"),
                help_text=_("On small windows this takes healthy models back almost surely."),
            ),
        },
    ),
    Section(
        "monitor",
        _("Monitor"),
        {
            "monitor.duration_s": period(_("Watch for")),
            "monitor.safe_evidence": number(_("Evidence that it is safe (likelihood ratio)")),
            "monitor.is_literal": yes(_("Roll back at 5 % below, without evidence")),
        },
    ),
    Section(
        "delivery",
        _("Hosts and mails"),
        {
            "hosts": some_of(_("Hosts"), list),
            "recipients": lines(_("Who gets the mails"), help_text=_("E-mail addresses, one a line.")),
        },
    ),
)

GATE_FIELDS: dict[str, Maker] = {
    "name": partial(forms.CharField, label=_("Gate"), required=False),
    "kind": one_of(_("Kind"), lambda: ["task", "regression", "safety", "latency", "size"]),
    "metric": partial(forms.CharField, label=_("Metric"), required=False),
    "rule": one_of(
        _("Rule"), lambda: ["at_least_production", "max_drop", "min_improvement", "absolute", "all_pass", "within"]
    ),
    "limit": partial(forms.FloatField, label=_("Limit"), required=False),
    "relative": yes(_("Relative")),
    "effect": one_of(_("Effect"), lambda: ["block", "flag", "warn"]),
    "preset": one_of(_("Preset"), lambda: ["strict", "refresh"]),
    "shadow": yes(_("Shadow")),
}

STEP_FIELDS: dict[str, Maker] = {
    "share": partial(PercentField, label=_("Share, %"), required=False),
    "min_duration_s": partial(DurationField, label=_("At least for"), required=False),
}
