"""A client's usage of a month as lines with prices."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from django.utils.translation import gettext as _

from pipelines.reports.value.work import Work
from tenants.billing import UsageLine
from tenants.models import ValueTerms

CENT = Decimal("0.01")


def usage_lines(work: Work, terms: ValueTerms) -> list[UsageLine]:
    """Amount = quantity, to its third decimal, x price, half up to the cent: a reader can work it out again."""
    hours = {kind: Decimal(str(work.compute_s.get(kind, 0.0))) / 3600 for kind in ("train", "evaluate", "ship")}
    measured = (
        ("month", _("Month"), Decimal(1), _("month")),
        ("run", _("Runs"), Decimal(work.runs), _("run")),
        ("promotion", _("New versions in service"), Decimal(work.promoted), _("version")),
        ("train_hour", _("Training"), hours["train"], _("hour")),
        ("evaluate_hour", _("Evaluation"), hours["evaluate"], _("hour")),
        ("ship_hour", _("Shipping and rehearsals"), hours["ship"], _("hour")),
        ("thousand_answers", _("Answers"), Decimal(work.answers) / 1000, _("thousand")),
    )
    return [_line(name, quantity, unit, terms.prices.get(key, "0")) for key, name, quantity, unit in measured]


def _line(name: str, quantity: Decimal, unit: str, price: str) -> UsageLine:
    rounded = quantity.quantize(Decimal("0.001"), ROUND_HALF_UP)
    amount = (rounded * Decimal(price)).quantize(CENT, ROUND_HALF_UP)
    return UsageLine(name, f"{rounded.normalize():f}", unit, price, f"{amount:f}")
