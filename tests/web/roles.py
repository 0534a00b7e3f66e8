"""Who may open which door: every address and every operation of the API, with the status each kind of visitor gets.

The guards in test_guards.py walk the URL resolver and the API themselves: a new door fails them until it stands here.
404 and not 403 for strangers: whether a client exists is nobody's business.
"""

from __future__ import annotations

from dataclasses import dataclass

VISITORS = ("owner", "engineer", "viewer", "reader", "sibling", "stranger", "anonymous")
CALLERS = ("key", "other_verb", "sibling_key", "stranger_key", "revoked_key", "session")


@dataclass(frozen=True)
class Door:
    """One line of a table: `name` is the URL's or the operation's."""

    name: str
    method: str
    statuses: dict[str, int]

    def __str__(self) -> str:
        return f"{self.method} {self.name}"


def read(table: str, columns: tuple[str, ...]) -> tuple[Door, ...]:
    lines = [line.split() for line in table.strip().splitlines()]
    assert lines[0] == ["name", "method", *columns], "the head of the table names its columns"
    return tuple(
        Door(name, method, dict(zip(columns, map(int, cells), strict=True))) for name, method, *cells in lines[1:]
    )


# The visitors: owner, engineer and viewer of the agency; reader of the client; sibling, reader of another client of the
# same agency; stranger, owner of another agency (who sees his own lists where an address names no client).
PAGES = read(
    """
name              method  owner  engineer  viewer  reader  sibling  stranger  anonymous
overview          GET     200    200       200     302     302      200       302
overview          POST    200    200       200     302     302      200       302
setup             GET     404    404       404     404     404      404       404
setup             POST    404    404       404     404     404      404       404
login             GET     302    302       302     302     302      302       200
login             POST    302    302       302     302     302      302       200
logout            GET     405    405       405     405     405      405       302
logout            POST    302    302       302     302     302      302       302
new-client        GET     200    404       404     404     404      200       302
new-client        POST    422    404       404     404     404      422       302
gate-log          GET     200    200       200     404     404      200       302
gate-log          POST    200    200       200     404     404      200       302
rollback-log      GET     200    200       200     404     404      200       302
rollback-log      POST    200    200       200     404     404      200       302
client            GET     200    200       200     404     404      404       302
client            POST    200    200       200     404     404      404       302
audit             GET     200    200       200     404     404      404       302
audit             POST    200    200       200     404     404      404       302
add-host          GET     405    405       405     405     405      405       302
add-host          POST    422    422       404     404     404      404       302
probe-host        GET     405    405       405     405     405      405       302
probe-host        POST    303    303       404     404     404      404       302
issue-key         GET     405    405       405     405     405      405       302
issue-key         POST    422    404       404     404     404      404       302
revoke-key        GET     405    405       405     405     405      405       302
revoke-key        POST    303    404       404     404     404      404       302
add-member        GET     405    405       405     405     405      405       302
add-member        POST    422    404       404     404     404      404       302
new-pipeline      GET     200    200       404     404     404      404       302
new-pipeline      POST    422    422       404     404     404      404       302
pipeline          GET     200    200       200     404     404      404       302
pipeline          POST    200    200       200     404     404      404       302
start-run         GET     405    405       405     405     405      405       302
start-run         POST    422    422       404     404     404      404       302
upload            GET     405    405       405     405     405      405       302
upload            POST    422    422       404     404     404      404       302
upload-set        GET     405    405       405     405     405      405       302
upload-set        POST    422    422       404     404     404      404       302
quarantine        GET     200    200       200     404     404      404       302
quarantine        POST    422    422       404     404     404      404       302
runs              GET     200    200       200     404     404      404       302
runs              POST    200    200       200     404     404      404       302
run               GET     200    200       200     404     404      404       302
run               POST    200    200       200     404     404      404       302
decide            GET     200    200       404     404     404      404       302
decide            POST    422    422       404     404     404      404       302
versions          GET     200    200       200     404     404      404       302
versions          POST    200    200       200     404     404      404       302
version           GET     200    200       200     404     404      404       302
version           POST    200    200       200     404     404      404       302
version-file      GET     200    200       200     404     404      404       302
version-file      POST    200    200       200     404     404      404       302
roll-back         GET     200    200       404     404     404      404       302
roll-back         POST    422    422       404     404     404      404       302
settings          GET     200    200       200     404     404      404       302
settings          POST    422    422       404     404     404      404       302
schedule          GET     200    200       200     404     404      404       302
schedule          POST    200    200       200     404     404      404       302
settings-history  GET     200    200       200     404     404      404       302
settings-history  POST    200    200       200     404     404      404       302
restore           GET     200    200       404     404     404      404       302
restore           POST    422    422       404     404     404      404       302
report            GET     200    200       200     200     404      404       302
report            POST    405    405       405     405     405      405       302
openapi-json      GET     200    200       200     200     200      200       200
openapi-json      POST    200    200       200     200     200      200       200
openapi-view      GET     200    200       200     200     200      200       200
openapi-view      POST    200    200       200     200     200      200       200
api-root          GET     404    404       404     404     404      404       404
api-root          POST    404    404       404     404     404      404       404
""",
    VISITORS,
)

# The callers: a key of the client with every verb; one that may only ask the models; keys of another client of the same
# agency and of another agency (lists answer them with their own rows: test_guards.py looks inside); a revoked key; the
# owner's signed-in browser without a key.
OPERATIONS = read(
    """
name                    method  key  other_verb  sibling_key  stranger_key  revoked_key  session
list_pipelines          GET     200  403         200          200           401          401
read_pipeline           GET     200  403         404          404           401          401
list_trigger_decisions  GET     200  403         200          200           401          401
upload_examples         POST    201  403         404          404           401          401
read_batch              GET     200  403         404          404           401          401
order_run               POST    409  403         404          404           401          401
list_runs               GET     200  403         404          404           401          401
read_run                GET     200  403         404          404           401          401
list_versions           GET     200  403         404          404           401          401
read_version            GET     200  403         404          404           401          401
read_version_yaml       GET     200  403         404          404           401          401
order_rollback          POST    409  403         404          404           401          401
list_rollbacks          GET     200  403         200          200           401          401
send_feedback           POST    409  403         409          409           401          401
""",
    CALLERS,
)
