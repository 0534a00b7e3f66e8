"""In which columns of a client's tables people are looked for, and from which of them they are erased.

Names are also parts of other words: Eva of "evaluate", Ole of "role", Rod of "production". So nothing is written over
that the program reads (stages, states, names on hosts, keys of JSON, digests), and every column of text that a table
has is named: here, or in the test that asks for it.
"""

from __future__ import annotations

# What is said freely: emptied of a person. Of the program's own JSON only what stands under a key of PROSE.
TEXTS: dict[str, tuple[str, ...]] = {
    "pipelines_batch": ("source", "error", "withdrawn_reason"),
    "pipelines_blindvote": ("case_key",),
    "pipelines_body": ("request", "answer"),
    "pipelines_delivery": ("event", "error"),
    "pipelines_drill": ("sentence", "hosts"),
    "pipelines_example": ("raw", "messages", "label", "detail"),
    "pipelines_feedback": ("correct_answer", "comment"),
    "pipelines_job": ("spec", "progress", "result", "error", "log_tail", "errand", "handed"),
    "pipelines_modelversion": ("card",),
    "pipelines_notice": ("detail", "error"),
    "pipelines_replaypair": ("asked", "candidate", "production"),
    "pipelines_rollback": ("sentence", "hosts"),
    "pipelines_rollout": ("frozen", "pause_reason"),
    "pipelines_rowchange": ("before", "after"),
    "pipelines_rowdecision": ("reason",),
    "pipelines_run": ("occasion", "reason", "approvals"),
    "pipelines_runevent": ("reason",),
    "pipelines_source": ("withdrawn_reason",),
    "pipelines_stagerun": ("notes", "output"),
    "pipelines_triggerdecision": ("reason",),
    "pipelines_waiver": ("reason", "withdrawn_reason"),
    "tenants_evalcase": ("key", "messages", "expected", "origin"),
    "tenants_evalset": ("note",),
    "tenants_freeze": ("reason", "lift_reason"),
    "tenants_hostdrift": ("repair_error",),
    "tenants_hostsample": ("reason",),
    "tenants_proposal": ("reason",),
    "tenants_sharedexample": ("key",),
    "tenants_sharelink": ("name",),
}
# Where the program speaks too: there a name is a word of its own, or it would be found in "next: evaluate".
SPEAKS: dict[str, tuple[str, ...]] = {
    "pipelines_batch": ("error",),
    "pipelines_check": ("sentence",),
    "pipelines_delivery": ("event", "error"),
    "pipelines_drill": ("sentence", "hosts"),
    "pipelines_example": ("detail",),
    "pipelines_gateresult": ("sentence",),
    "pipelines_job": ("progress", "result", "error", "log_tail", "handed"),
    "pipelines_modelversion": ("card",),
    "pipelines_notice": ("detail", "error"),
    "pipelines_rollback": ("sentence", "hosts"),
    "pipelines_rollout": ("frozen",),
    "pipelines_run": ("occasion", "reason", "approvals"),
    "pipelines_runevent": ("reason",),
    "pipelines_stagerun": ("notes", "output"),
    "pipelines_triggerdecision": ("reason",),
    "tenants_evalcase": ("origin",),
    "tenants_evalset": ("note",),
    "tenants_hostdrift": ("repair_error",),
    "tenants_hostsample": ("reason",),
}
# Read, shown and left: whose act it was, what things are called, settings and what hosts run by them, evidence.
SHOWN: dict[str, tuple[str, ...]] = {
    "pipelines_batch": ("token", "reading", "withdrawn_by", "created_by"),
    "pipelines_blindvote": ("voter",),
    "pipelines_check": ("sentence",),
    "pipelines_datasetversion": ("labels", "left_out"),
    "pipelines_delivery": ("asked_by",),
    "pipelines_drill": ("ordered_by",),
    "pipelines_feedback": ("sent_by",),
    "pipelines_gateresult": ("sentence", "numbers", "spec"),
    "pipelines_modelversion": ("system", "parameters", "approved_by"),
    "pipelines_notice": ("recipients", "delivered"),
    "pipelines_placement": ("model_name",),
    "pipelines_rollback": ("decided_by",),
    "pipelines_rollout": ("paused_by",),
    "pipelines_rowdecision": ("actor", "undone_by"),
    "pipelines_scorecard": ("metrics",),
    "pipelines_source": ("name", "mapping", "withdrawn_by"),
    "pipelines_waiver": ("approver", "withdrawn_by"),
    "tenants_apikey": ("name",),
    "tenants_auditevent": ("actor", "subject", "detail"),
    "tenants_channel": ("name", "host", "disabled_by", "created_by"),
    "tenants_evalset": ("created_by",),
    "tenants_freeze": ("actor", "lifted_by"),
    "tenants_host": ("name", "url", "drained_by", "drain_reason"),
    "tenants_hostdrift": ("model_name", "expected", "found", "repaired_by"),
    "tenants_invitation": ("email", "invited_by"),
    "tenants_judgeendpoint": ("name", "url", "model", "key_name", "allowed_by", "withdrawn_by"),
    "tenants_pipeline": ("name", "slug", "paused_by", "pause_reason", "own_fields"),
    "tenants_proposal": ("subject", "payload", "proposed_by", "decided_by"),
    "tenants_settingsrevision": ("body", "author", "reason"),
    "tenants_sharedexample": ("approved_by",),
    "tenants_sharelink": ("created_by",),
    "tenants_trainingconsent": ("service", "url", "allowed_by", "withdrawn_by"),
    "tenants_usageissue": ("lines", "reason", "issued_by"),
}
# Keys of the program's JSON under which people and models speak.
PROSE = frozenset((
    "advice", "answer", "answers", "body", "comment", "content", "detail", "diff", "error", "headline", "label",
    "message", "note", "prompt", "question", "raw", "reason", "reasons", "safe", "sentence", "sentences", "subject",
    "text", "what", "why",
))  # fmt: skip
# What every row, answer and set has: as keys and as whole values these name nobody.
FORM = PROSE | frozenset((
    "arm", "assistant", "candidate", "check", "completion", "conversations", "exact", "expected", "finish", "from",
    "heldout", "human", "id", "input", "instruction", "latency", "length", "messages", "ms", "output", "production",
    "regression", "response", "role", "safety", "score", "set", "stop", "system", "tool", "user", "value",
))  # fmt: skip
