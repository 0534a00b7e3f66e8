"""An agency's own figures for the value of the work, and the usage that it issues to its clients."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from tenants import scope
from tenants.models import Agency, AuditEvent, Client, UsageIssue, ValueTerms


class IssueRefused(ValueError):
    """A month cannot be issued so: the sentence says why. Nothing was written."""


@dataclass(frozen=True)
class UsageLine:
    """One line of a bill; decimals as text, so that what was issued reads for ever as it was."""

    line: str
    quantity: str
    unit: str
    price: str
    amount: str


def terms_of(agency_id: int) -> ValueTerms:
    """The agency's terms, unsaved ones where nothing was set. From any scope inside the agency."""
    with scope.agency_scope(agency_id):
        found: ValueTerms | None = ValueTerms.objects.filter(agency_id=agency_id).first()
    return found or ValueTerms(agency_id=agency_id)


@transaction.atomic
def change_terms(agency: Agency, given: dict[str, Any], actor: str, now: datetime) -> ValueTerms:
    """`given`: columns of the terms. What was issued stays as it is."""
    Agency.objects.select_for_update().get(pk=agency.pk)
    row = ValueTerms.objects.filter(agency=agency).first() or ValueTerms(agency=agency)
    changed = {name: [getattr(row, name), value] for name, value in given.items() if getattr(row, name) != value}
    for name, value in given.items():
        setattr(row, name, value)
    row.updated_at = now
    row.save()
    AuditEvent.append(agency, actor, "value.terms", agency.slug, now, {"changed": changed})
    return row


@transaction.atomic
def issue(  # noqa: PLR0913
    client: Client, month: str, lines: list[UsageLine], *, currency: str, actor: str, reason: str, now: datetime
) -> UsageIssue:
    """The month as charged: the first issue, or a correction with its reason. Raises `IssueRefused`."""
    Client.objects.select_for_update().get(pk=client.pk)
    earlier = UsageIssue.objects.filter(client=client, month=month).order_by("-number").first()
    plain = [asdict(line) for line in lines]
    if earlier is not None and not reason.strip():
        raise IssueRefused(_("This month was issued already: say why it is corrected."))
    if earlier is not None and (earlier.lines, earlier.currency) == (plain, currency):
        raise IssueRefused(_("Nothing differs from issue %(n)s: there is nothing to correct.") % {"n": earlier.number})
    total = sum((Decimal(line.amount) for line in lines), Decimal())
    number = earlier.number + 1 if earlier else 1
    fields = {"number": number, "lines": plain, "total": total, "currency": currency, "reason": reason.strip()}
    row = UsageIssue(agency_id=client.agency_id, client=client, month=month, issued_by=actor, issued_at=now, **fields)
    row.save()
    detail = {"total": str(total), "currency": currency, "digest": row.digest, "reason": row.reason}
    AuditEvent.append(client, actor, "usage.issue", f"{month} no. {number}", now, detail)
    return row
