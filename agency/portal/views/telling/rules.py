"""Who is told of what, as a pipeline's settings and the channels have it, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext as _

from agency.portal.forms.fields import spell
from tenants.models import Channel, Pipeline
from tenants.pipeline_settings import PipelineSettings
from tenants.telling.channels import channels_for
from tenants.telling.rules import NOTICE_KINDS


def told(row: Pipeline, settings: PipelineSettings) -> dict[str, str]:
    """{kind: the sentence}."""
    channels = channels_for(row.client)
    return {kind: _sentence(kind, settings, channels) for kind in NOTICE_KINDS}


def _sentence(kind: str, settings: PipelineSettings, channels: Sequence[Channel]) -> str:
    mails, named = settings.mailed(kind), settings.channels_of(kind)
    ways = [one for one in channels if (kind in one.kinds if named is None else one.name in named)]
    words = {"mails": ", ".join(mails), "ways": ", ".join(one.name for one in ways if one.is_on)}
    match bool(words["mails"]), bool(words["ways"]):
        case True, True:
            said = _("A mail to %(mails)s, and a message to %(ways)s.")
        case True, False:
            said = _("A mail to %(mails)s.")
        case False, True:
            said = _("No mail; a message to %(ways)s.")
        case _:
            said = _("Nobody is told: it only stands on the pages.")
    return " ".join([said % words, *_off(ways), *(_later(settings) if kind == "held" else [])])


def _off(ways: Sequence[Channel]) -> list[str]:
    return [_("%(name)s is switched off.") % {"name": one.name} for one in ways if not one.is_on]


def _later(settings: PipelineSettings) -> list[str]:
    """What follows while nobody decides."""
    said = []
    if settings.remind_after_s is not None:
        said.append(_("The same people again after %(time)s.") % {"time": spell(settings.remind_after_s)})
    if settings.escalate_after_s is not None:
        said.append(_("The owners after %(time)s.") % {"time": spell(settings.escalate_after_s)})
    return said
