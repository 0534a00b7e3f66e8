"""What every alert says first: whether clients are served well at this moment, and by what."""

from __future__ import annotations

from django.utils.translation import gettext as _

from agency.mail.words import one_line
from pipelines.domain.transitions import RolloutStatus
from pipelines.models import Notice, Rollout, Route


def safe_now(notice: Notice) -> str:
    """Read from the route as it is, not as it was when the notice was written."""
    if notice.kind in ("channel_off", "mail_down", "mail_up"):
        return ""
    route = Route.objects.select_related("production", "candidate").filter(pipeline_id=notice.pipeline_id).first()
    if route is None:
        return _("No version of this pipeline answers anybody yet.")
    words = {"production": route.production.label, "host": one_line(notice.detail.get("host", ""), 80)}
    if notice.kind == "drift":
        return _("Not certain now: %(host)s may answer with something else than %(production)s.") % words
    if route.candidate is not None and route.candidate_bp:
        share = route.candidate_bp / 100
        words |= {"candidate": route.candidate.label, "share": f"{share:g}", "rest": f"{100 - share:g}"}
        served = _("%(production)s answers %(rest)s %% of the traffic, %(candidate)s %(share)s %%.") % words
    else:
        served = _("%(production)s answers all traffic.") % words
    is_stuck = notice.kind == "rollback_stuck"
    is_halted = is_stuck or Rollout.objects.filter(run_id=notice.run_id, status=RolloutStatus.HALTED).exists()
    return f"{_('Not certain now:') if is_halted else _('Clients are safe now:')} {served}"
