"""What a run's trainer is told beside the training itself: which service, which command, and what opens it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from pipelines.engine.jobs import JobFailed
from pipelines.models import Job
from tenants.training import seat

IMPORT, REMOTE, COMMAND = "import", "remote", "command"


@dataclass(frozen=True)
class Seat:
    """`trainer` is a name of the registry; `site` and `secret` go to the child as they are."""

    trainer: str
    site: dict[str, Any] = field(default_factory=dict)
    secret: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def network(self) -> bool:
        return self.trainer == REMOTE


def seat_of(job: Job, *, for_recall: bool = False) -> Seat:
    """Raises JobFailed or NoSeat, both for good. `for_recall`: nothing more goes there, so consent is not asked for."""
    run = job.run
    trainer, _colon, which = run.revision.settings.recipe.trainer.partition(":")
    if run.is_import:
        return Seat(IMPORT)
    match trainer:
        case "remote":
            return _at_service(job, which, for_recall)
        case "command":
            return _by_command(which)
    return Seat(trainer)


def _at_service(job: Job, name: str, for_recall: bool) -> Seat:
    run = job.run
    found = seat(run.client_id, run.agency_id, name, for_recall=for_recall)
    base = run.revision.settings.recipe.base
    if found.base != base:
        words = {"name": name, "theirs": found.base, "base": base}
        raise JobFailed(_("“%(name)s” trains the base %(theirs)s, the recipe wants %(base)s.") % words, permanent=True)
    site: dict[str, Any] = {"url": found.url, "model": found.model, "order": f"job {job.pk} of {run.client_id}"}
    site |= {"allow_private": settings.ALLOW_PRIVATE_HOSTS, "poll_s": settings.TRAINING_POLL_S}
    site |= {"is_there": "unanswered" in job.spec}
    return Seat(REMOTE, site, {str(name): str(value) for name, value in found.secret().items()})


def _by_command(name: str) -> Seat:
    if name not in settings.TRAINER_COMMANDS:
        words = {"name": name, "known": ", ".join(sorted(settings.TRAINER_COMMANDS)) or "-"}
        raise JobFailed(
            _("No command “%(name)s” is registered here. Registered: %(known)s. See RETUNE_TRAINER_COMMANDS.") % words,
            permanent=True,
        )
    return Seat(COMMAND, {"name": name, "command": settings.TRAINER_COMMANDS[name]})
