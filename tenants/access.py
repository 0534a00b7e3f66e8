"""Who may do what: one table from role to verbs, and the verbs a key can carry."""

from __future__ import annotations

from tenants.models.membership import Role

VIEW = "view"  # staff pages of a client
REPORT = "report"  # the client's own read-only pages
OPERATE = "operate"  # start, approve, cancel, release rows, add data
ROLL_BACK = "roll_back"
CONFIGURE = "configure"  # settings, hosts, evaluation sets
ADMINISTER = "administer"  # clients, keys, people

ROLES: dict[Role, frozenset[str]] = {
    Role.OWNER: frozenset({VIEW, REPORT, OPERATE, ROLL_BACK, CONFIGURE, ADMINISTER}),
    Role.ENGINEER: frozenset({VIEW, REPORT, OPERATE, ROLL_BACK, CONFIGURE}),
    Role.VIEWER: frozenset({VIEW, REPORT}),
    Role.READER: frozenset({REPORT}),
}

# Nobody invites above their own.
RANK: dict[Role, int] = {Role.READER: 0, Role.VIEWER: 1, Role.ENGINEER: 2, Role.OWNER: 3}

KEY_VERBS: dict[str, str] = {
    "examples": "add examples",
    "feedback": "send feedback on answers",
    "runs": "start and read runs",
    "versions": "read versions",
    "rollback": "roll back",
    "waivers": "waive gates, and end waivers",
    "settings": "read and change settings of pipelines",
    "gateway": "ask the models",
}


def can(role: str, verb: str) -> bool:
    return verb in ROLES[Role(role)]
