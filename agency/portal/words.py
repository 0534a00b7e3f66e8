"""The product's words for its codes: status -> (icon, tone, word)."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

STATUSES: dict[str, tuple[str, str, str | Promise]] = {
    # Runs and jobs
    "queued": ("clock", "info", _("queued")),
    "running": ("play", "info", _("running")),
    "waiting": ("clock", "info", _("waiting")),
    "held": ("hand", "warn", _("needs you")),
    "succeeded": ("check", "good", _("succeeded")),
    "skipped": ("minus", "idle", _("skipped")),
    "stopped": ("stop", "bad", _("stopped")),
    "rejected": ("cross", "bad", _("rejected")),
    "rolled_back": ("undo", "bad", _("rolled back")),
    "failed": ("alert", "bad", _("failed")),
    "cancelled": ("stop", "idle", _("cancelled")),
    # Stages
    "done": ("check", "good", _("done")),
    "now": ("play", "info", _("in progress")),
    "todo": ("dot", "idle", _("to come")),
    "off": ("minus", "idle", _("switched off")),
    # Verdicts
    "passed": ("check", "good", _("passed")),
    "inconclusive": ("question", "warn", _("inconclusive")),
    "error": ("alert", "bad", _("not measured")),
    "promoted": ("check", "good", _("promoted")),
    # Versions, rollouts, placements
    "candidate": ("play", "info", _("candidate")),
    "production": ("check", "good", _("production")),
    "archived": ("box", "idle", _("archived")),
    "placed": ("box", "info", _("placed")),
    "stepping": ("play", "info", _("canary")),
    "live": ("check", "good", _("live")),
    "retired": ("box", "idle", _("retired")),
    "rolling_back": ("undo", "warn", _("rolling back")),
    "halted": ("hand", "warn", _("halted")),
    # Looks of the canary and monitor
    "continue": ("clock", "info", _("goes on")),
    "stay": ("clock", "info", _("stays")),
    "advance": ("arrow", "good", _("advances")),
    "notice": ("flag", "warn", _("notice")),
    "flag": ("flag", "warn", _("notice")),
    "end": ("check", "good", _("ended")),
    "roll_back": ("undo", "bad", _("roll back")),
    "hold": ("hand", "warn", _("held")),
    "replay": ("question", "warn", _("needs pairs")),
    "confirm": ("question", "warn", _("to be confirmed")),
    "halt": ("hand", "warn", _("halted")),
    # Needs of the overview
    "quarantine": ("flag", "warn", _("rows to look at")),
    "well": ("check", "good", _("well")),
    "none": ("dot", "idle", _("no model yet")),
    # The ledger of triggers
    "started": ("play", "good", _("started")),
    "not_yet": ("clock", "idle", _("not yet")),
    # Keys and hosts
    "active": ("check", "good", _("active")),
    "revoked": ("stop", "idle", _("revoked")),
    "answers": ("check", "good", _("answers")),
    "silent": ("alert", "bad", _("does not answer")),
    "unknown": ("question", "idle", _("not probed")),
}

WORDS: dict[str, str | Promise] = {
    "trigger": _("Trigger"),
    "validate": _("Validate"),
    "finetune": _("Fine-tune"),
    "evaluate": _("Evaluate"),
    "compare": _("Compare"),
    "deploy": _("Deploy"),
    "monitor": _("Monitor"),
    "canary": _("canary"),
    "person": _("a person"),
    "api": _("the API"),
    "schedule": _("the schedule"),
    "data": _("new data"),
    "quality": _("falling quality"),
    "block": _("blocks"),
    "flag": _("flags"),
    "warn": _("warns"),
    "heldout": _("held-out set"),
    "regression": _("regression set"),
    "safety": _("safety set"),
    "ready": _("ready"),
    "quarantined": _("in quarantine"),
    "duplicate": _("exact duplicates"),
    "left_out": _("left out"),
    "parked": _("parked"),
    "discarded": _("discarded"),
}
