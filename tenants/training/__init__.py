"""Fine-tuning services: added and withdrawn by an agency, allowed and taken back for each client, all in the ledger."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from tenants import scope
from tenants.crypto import sealing
from tenants.models import Agency, AuditEvent, Client, TrainingConsent, TrainingService


class NoSeat(RuntimeError):
    """Nothing of this client may be trained at that service; the sentence says why and what to do."""

    permanent = True


@transaction.atomic
def add_service(agency: Agency, fields: dict[str, str], key: str, actor: str, now: datetime) -> TrainingService:
    """`fields`: name, url, model, base."""
    made = TrainingService(agency=agency, added_by=actor, added_at=now, **fields)
    made.sealed = sealing.seal(made.place, {"key": key}) if key else ""
    made.save()
    AuditEvent.append(agency, actor, "training.add", made.name, now, fields | {"has_key": bool(key)})
    return made


@transaction.atomic
def withdraw_service(service: TrainingService, actor: str, now: datetime) -> None:
    """Its key is forgotten; trainings that run there are asked about no more."""
    service.withdrawn_at, service.withdrawn_by, service.sealed = now, actor, ""
    service.save(update_fields=["withdrawn_at", "withdrawn_by", "sealed"])
    AuditEvent.append(service.agency, actor, "training.withdraw", service.name, now, {"url": service.url})


@transaction.atomic
def allow_service(client: Client, service: TrainingService, actor: str, now: datetime) -> TrainingConsent:
    made = TrainingConsent(agency_id=client.agency_id, client=client, service=service.name, url=service.url)
    made.allowed_by, made.allowed_at = actor, now
    made.save()
    AuditEvent.append(client, actor, "training.allow", service.name, now, {"url": service.url})
    return made


@transaction.atomic
def take_back(consent: TrainingConsent, actor: str, now: datetime) -> None:
    consent.withdrawn_at, consent.withdrawn_by = now, actor
    consent.save(update_fields=["withdrawn_at", "withdrawn_by"])
    AuditEvent.append(consent, actor, "training.take_back", consent.service, now, {"url": consent.url})


def services_of(agency_id: int) -> list[TrainingService]:
    """Those in use. The agency's own rows: invisible in a client's scope."""
    with scope.agency_scope(agency_id):
        return list(TrainingService.objects.filter(agency_id=agency_id, withdrawn_at=None))


def seat(client_id: int, agency_id: int, name: str, *, for_recall: bool = False) -> TrainingService:
    """The service, where it is in use and the client allows it. Raises NoSeat.

    `for_recall`: rows lie there already and are to be removed, which wants no consent any more.
    """
    found = next((one for one in services_of(agency_id) if one.name == name), None)
    if found is None:
        words = {"name": name}
        raise NoSeat(_("The agency has no training service “%(name)s”. Add it, or choose another trainer.") % words)
    if not (sent_to(client_id, found) if for_recall else allowed(client_id, found)):
        words = {"name": name, "url": found.url}
        raise NoSeat(_("The client does not allow that its examples are sent to “%(name)s” (%(url)s).") % words)
    return found


def allowed(client_id: int, service: TrainingService) -> bool:
    given = TrainingConsent.objects.filter(client_id=client_id, service=service.name, withdrawn_at=None)
    return given.filter(url=service.url).exists()


def sent_to(client_id: int, service: TrainingService) -> bool:
    """Whether the last consent, which may be taken back by now, was to this address."""
    last = TrainingConsent.objects.filter(client_id=client_id, service=service.name).order_by("-pk").first()
    return last is not None and last.url == service.url
