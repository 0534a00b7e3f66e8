"""The words of each kind of notice: its verdict, what it means, what to do."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Words = str | Promise


@dataclass(frozen=True)
class Kind:
    """`tone` is one of good, bad, ask. `headline` and `advice` may hold %(what)s, the version or run."""

    tone: str
    icon: str
    verdict: Words
    headline: Words
    advice: Words
    button: Words


MAIL_KINDS: dict[str, Kind] = {
    "promoted": Kind(
        "good",
        "✓",
        _("promoted"),
        _("%(what)s went into service and now answers all traffic."),
        _("Nothing to do. It is watched from now on and taken back by itself if it gets worse. You can do so too."),
        _("Open the run"),
    ),
    "stopped": Kind(
        "bad",
        "■",
        _("stopped"),
        _("The new data did not pass its checks, so nothing was trained. Production is unchanged."),
        _("Look at the quarantined rows: release the good ones, discard the rest, or send a corrected batch."),
        _("See the rows"),
    ),
    "rejected": Kind(
        "bad",
        "✗",
        _("rejected"),
        _("%(what)s was not shown to be as good as production, so nothing changes."),
        _("Nothing to do tonight. Read which gate said no before the next run; its rows stay parked until released."),
        _("See the gates"),
    ),
    "held": Kind(
        "ask",
        "?",
        _("needs you"),
        _("%(what)s waits for a person to decide. Production is unchanged until then."),
        _("Open the run, then approve it with a reason, or turn it down."),
        _("Decide"),
    ),
    "failed": Kind(
        "bad",
        "!",
        _("failed"),
        _("%(what)s could not be finished after its retries. Production is unchanged."),
        _("Mend the cause, then start the run again."),
        _("See what happened"),
    ),
    "rolled_back": Kind(
        "bad",
        "↶",
        _("rolled back"),
        _("%(what)s was taken back from the traffic."),
        _("Nothing to do at once: the earlier version answers again. Automatic runs wait for the cooldown."),
        _("See the evidence"),
    ),
    "rollback_stuck": Kind(
        "bad",
        "↶",
        _("rollback not through"),
        _("The rollback of %(what)s was ordered, and its hosts did not take it."),
        _("Bring the hosts back, or roll back to another version. It is tried again for a day unless it was given up."),
        _("Open the run"),
    ),
    "noticed": Kind(
        "ask",
        "⚑",
        _("differs from production"),
        _("%(what)s does measurably worse on one count, but by less than the margin, so it goes on."),
        _("Nothing to do: it stays under watch. If this matters here, roll it back. You are told once, not each time."),
        _("See the evidence"),
    ),
    "drill_failed": Kind(
        "ask",
        "⚑",
        _("no way back"),
        _("The drill of a rollback from %(what)s failed. Production answers as before; no traffic moved."),
        _("Mend what the drill found and start another one, so that a rollback works on the day it is needed."),
        _("See the drill"),
    ),
    "drift": Kind(
        "bad",
        "≠",
        _("changed by hand"),
        _("Something on host %(what)s is not as it was placed. No route was changed."),
        _("Look at the host's page: what differs, since when, and whether it is put back by itself (Terms)."),
        _("Open the pipeline"),
    ),
    "reminder": Kind(
        "ask",
        "?",
        _("still needs you"),
        _("%(what)s has waited for a person since %(since)s, and nobody decided or took it."),
        _("Open the run and decide, or say there that you look at it: then nobody is reminded any more."),
        _("Decide"),
    ),
    "escalated": Kind(
        "bad",
        "‼",
        _("waits for anybody"),
        _("%(what)s has waited since %(since)s. Those who are told first did nothing, so you hear of it as an owner."),
        _("Decide it, or find out who does. It waits as long as it has to; nothing changes by itself."),
        _("Decide"),
    ),
    "recovered": Kind(
        "good",
        "✓",
        _("recovered"),
        _("What began on %(since)s is over."),
        _("Nothing to do."),
        _("Open the pipeline"),
    ),
    "decided": Kind(
        "good",
        "✓",
        _("decided"),
        _("%(what)s no longer waits for a person."),
        _("Nothing to do."),
        _("Open the run"),
    ),
    "mail_down": Kind(
        "bad",
        "✉",
        _("mail is down"),
        _("Mails of this installation are refused again and again. You read this by another way."),
        _("See the mail server and manage.py doctor. Nothing is lost: what waits is sent when it takes mail again."),
        _("Open the pipeline"),
    ),
    "mail_up": Kind(
        "good",
        "✉",
        _("mail is sent again"),
        _("The mail server takes mail again; what waited is on its way."),
        _("Nothing to do."),
        _("Open the pipeline"),
    ),
    "channel_off": Kind(
        "bad",
        "⚡",
        _("switched off"),
        _("The channel %(what)s takes nothing any more, so nothing is sent there. Mails go on."),
        _("Mend the other side, try it on the channel's page, switch it on, and send again what was missed."),
        _("Open the channels"),
    ),
}
