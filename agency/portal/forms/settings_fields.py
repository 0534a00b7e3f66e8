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

from agency.portal.forms.fields import AddressesField, DurationField, LinesField, ListOrWordField, PercentField
from agency.portal.words import WORDS
from pipelines.trainers import HERE
from tenants.pipeline_settings import METRICS, REDACTIONS, SECRET_KINDS

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


def words(label: Any, **more: Any) -> Maker:
    return partial(forms.CharField, label=label, required=False, **more)


def optional(label: Any, **more: Any) -> Maker:
    return partial(forms.IntegerField, label=label, required=False, **more)


def number(label: Any, **more: Any) -> Maker:
    return partial(forms.FloatField, label=label, **more)


def percent(label: Any, **more: Any) -> Maker:
    return partial(PercentField, label=label, **more)


def period(label: Any, **more: Any) -> Maker:
    return partial(DurationField, label=label, **more)


def period_or_never(label: Any, **more: Any) -> Maker:
    return partial(DurationField, label=label, required=False, **more)


def yes(label: Any, **more: Any) -> Maker:
    return partial(forms.BooleanField, label=label, required=False, **more)


def lines(label: Any, **more: Any) -> Maker:
    return partial(LinesField, label=label, required=False, **more)


def trainers_here() -> list[str]:
    """Those of this installation; an agency's services come on top."""
    return [*sorted(HERE), *(f"command:{name}" for name in sorted(settings.TRAINER_COMMANDS))]


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
            "triggers.new_examples": optional(
                _("Run at this many new examples"),
                help_text=_("Empty: never. Where Validate is on, not before its “New examples at least”."),
            ),
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
            "data.max_length_shift": percent(_("Length shift at most, %")),
            "data.max_language_shift": percent(_("Language shift at most, %")),
            "data.novel_below": number(
                _("Wait for review below this likeness to every category"), help_text=_("0 to 1; 0: never.")
            ),
            "data.min_quality": number(_("Quality score at least")),
            "data.quality.length": number(_("Quality: weight of the length")),
            "data.quality.format": number(_("Quality: weight of the format")),
            "data.quality.refusal": number(_("Quality: weight of not refusing")),
            "data.quality.language": number(_("Quality: weight of the language")),
            "data.quality.min_words": whole(_("Quality: words of an answer at least")),
            "data.quality.max_words": whole(_("Quality: words of an answer at most")),
            "data.quality.wanted_language": words(
                _("Quality: language"), help_text=_("A code such as en or es; empty: any.")
            ),
            "data.secrets": one_of(
                _("Keys, cards and personal data"),
                lambda: ["off", "quarantine", "mask"],
                help_text=_("Rows that hold some are set aside, or lose them; off: not looked for."),
            ),
            "data.secret_kinds": some_of(_("… of these kinds"), lambda: list(SECRET_KINDS)),
        },
    ),
    Section(
        "recipe",
        _("Recipe"),
        {
            "recipe.base": one_of(_("Base model"), lambda: list(settings.BASES)),
            "recipe.trainer": one_of(_("Trainer"), trainers_here),
            "recipe.quantisation": one_of(_("Quantisation"), lambda: ["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16"]),
            "recipe.delivery": one_of(
                _("Sent to hosts"),
                lambda: ["merged", "adapter"],
                help_text=_(
                    "Merged: a file for each version, on every host. Adapter: the base once and a small file for each "
                    "version; hosts from 0.34.1 on refuse it, and two versions take turns: pairs decide in place of "
                    "a canary, and a rollback costs a load."
                ),
            ),
            "recipe.lora_rank": whole(_("LoRA rank")),
            "recipe.lora_alpha": whole(_("LoRA alpha")),
            "recipe.learning_rate": number(_("Learning rate")),
            "recipe.epochs": whole(_("Epochs")),
            "recipe.batch_size": whole(_("Batch size")),
            "recipe.max_tokens": whole(_("Tokens an example at most")),
            "recipe.seed": whole(_("Seed")),
            "recipe.needs_gpu": yes(
                _("Only on a GPU"),
                help_text=_("Without one here or on a machine of the agency, the training waits."),
            ),
        },
    ),
    Section(
        "criteria",
        _("Criteria"),
        {
            "criteria.metrics": some_of(_("Metrics"), lambda: [*METRICS, *settings.OWN_METRICS]),
            "criteria.output.kind": one_of(_("A good answer is"), lambda: ["text", "label", "json"]),
            "criteria.output.labels": lines(_("Labels"), help_text=_("For label: one a line.")),
            "criteria.output.fields": lines(_("Fields"), help_text=_("For json: one a line.")),
            "criteria.output.is_enforced": yes(
                _("Applications have the host enforce the JSON"),
                help_text=_("They send its schema as format; evaluations then do so as well."),
            ),
            "criteria.evaluate_on": one_of(
                _("Measure on"),
                lambda: ["worker", "host"],
                help_text=_("worker: this installation's own engine. host: the first host below, as it will serve."),
            ),
            "criteria.max_answer_tokens": whole(_("Tokens an answer at most")),
            "criteria.context_tokens": whole(_("Context, tokens")),
            "criteria.latency_calls": whole(_("Latency: calls a round")),
            "criteria.latency_rounds": whole(_("Latency: rounds at most")),
            "criteria.latency_floor_ms": number(_("Latency: differences up to so many ms do not count")),
            "criteria.judge.endpoint": words(
                _("Judge"), help_text=_("Name of a judge that the client allows; for the metric judge.")
            ),
            "criteria.judge.wanted": words(
                _("What makes an answer better"), help_text=_("In plain words, for the judge.")
            ),
            "criteria.judge.cases": whole(_("Cases that the judge sees at most")),
            "criteria.judge.timeout_s": number(_("Seconds that the judge may take for one")),
        },
    ),
    Section(
        "rollout",
        _("Canary"),
        {
            "rollout.mode": one_of(
                _("Applications reach the model by"),
                lambda: ["gateway", "alias"],
                help_text=_(
                    "alias: they call a host by the name …:production. Promises are weaker: no shares and no steps, a "
                    "replay decides and then all traffic moves at once, host by host; nothing is metered, so probes "
                    "watch instead of traffic; taking back takes as long as the hosts need to copy a name."
                ),
            ),
            "rollout.max_step_s": period(_("A step takes at most")),
            "rollout.min_keys": whole(_("Conversations on the candidate at least")),
            "rollout.safe_evidence": number(_("Evidence that it is safe (likelihood ratio)")),
            "rollout.check_every_s": period(_("Look every")),
            "rollout.request_timeout_s": period(_("A request may take at most")),
            "rollout.replay": yes(
                _("Replay recent prompts"),
                help_text=_("Before the first step, and where a step lacks traffic; only with questions kept."),
            ),
            "rollout.max_pairs": whole(_("Prompts replayed at most")),
            "rollout.keep_on_hosts": whole(
                _("Versions kept on hosts"), help_text=_("Production and the one before it always stay.")
            ),
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
            "monitor.holdback_share": percent(
                _("Stays with the version before, %"), help_text=_("A second baseline while it is watched; 0: none.")
            ),
            "monitor.safe_evidence": number(_("Evidence that it is safe (likelihood ratio)")),
            "monitor.is_literal": yes(_("Roll back at 5 % below, without evidence")),
        },
    ),
    Section(
        "change",
        _("Change windows"),
        {
            "change.windows": lines(
                _("Rollouts only within"),
                help_text=_("One a line, client's local time: MO-TH 09:00-16:00. Empty: at any hour."),
            ),
            "change.blackouts": lines(
                _("No rollout on"),
                help_text=_("One a line, both days whole: 2026-12-20/2027-01-06 year end. Rollbacks never wait."),
            ),
            "drills.every_days": optional(
                _("Rehearse the rollback every so many days"), help_text=_("No traffic moves. Empty: by hand only.")
            ),
        },
    ),
    Section(
        "bodies",
        _("Kept questions and answers"),
        {
            "bodies.keep": yes(
                _("The client allows it"),
                help_text=_("Needed for a replay before the canary. When it is taken back, what was kept is removed."),
            ),
            "bodies.days": whole(_("Days")),
            "bodies.max_bytes": whole(_("Bytes of one question and answer at most"), help_text=_("Longer: not kept.")),
            "bodies.redaction": one_of(_("Take out before writing"), lambda: [*REDACTIONS, *settings.OWN_REDACTIONS]),
        },
    ),
    Section(
        "delivery",
        _("Hosts and mails"),
        {
            "hosts": some_of(_("Hosts"), list),
            "recipients": partial(
                AddressesField,
                label=_("Who gets the mails"),
                required=False,
                help_text=_("E-mail addresses, one a line. Below, kind by kind, somebody else."),
            ),
            "remind_after_s": period_or_never(
                _("Remind of a held run after"), help_text=_("Where nobody decided or took it. Empty: never.")
            ),
            "escalate_after_s": period_or_never(_("Tell the owners of it after")),
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
    "tolerance": partial(forms.FloatField, label=_("Tolerance"), required=False),
    "evidence": one_of(_("Evidence"), lambda: ["preset", "required", "superior"]),
    "shadow": yes(_("Shadow")),
}

# For each kind of notice.
NOTICE_FIELDS: dict[str, Maker] = {
    "mail": partial(
        ListOrWordField,
        "nobody",
        label=_("Mail to"),
        required=False,
        widget=forms.TextInput(attrs={"placeholder": _("everybody above")}),
    ),
    "channels": partial(
        ListOrWordField,
        "none",
        label=_("Channels"),
        required=False,
        widget=forms.TextInput(attrs={"placeholder": _("as each channel is set")}),
    ),
}

STEP_FIELDS: dict[str, Maker] = {
    "share": partial(PercentField, label=_("Share, %"), required=False),
    "min_duration_s": partial(DurationField, label=_("At least for"), required=False),
}
