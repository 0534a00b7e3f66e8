"""Which judge models a client's rows may be shown to: given and taken back, each with its line in the ledger."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from tenants.models import AuditEvent, Client, JudgeEndpoint


@transaction.atomic
def allow_judge(client: Client, fields: dict[str, str], actor: str, now: datetime) -> JudgeEndpoint:
    """`fields`: name, kind, url, model, key_name."""
    made = JudgeEndpoint(agency_id=client.agency_id, client=client, allowed_by=actor, allowed_at=now, **fields)
    made.save()
    detail = {name: fields[name] for name in ("kind", "url", "model")}
    AuditEvent.append(client, actor, "judge.allow", made.name, now, detail)
    return made


@transaction.atomic
def withdraw_judge(judge: JudgeEndpoint, actor: str, now: datetime) -> None:
    judge.withdrawn_at, judge.withdrawn_by = now, actor
    judge.save(update_fields=["withdrawn_at", "withdrawn_by"])
    AuditEvent.append(judge, actor, "judge.withdraw", judge.name, now, {"url": judge.url, "model": judge.model})
