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
# No worker takes what is due in this world, so that it is not ready.
PAGES = read(
    """
name              method  owner  engineer  viewer  reader  sibling  stranger  anonymous
overview          GET     200    200       200     302     302      200       302
overview          POST    200    200       200     302     302      200       302
setup             GET     404    404       404     404     404      404       404
setup             POST    404    404       404     404     404      404       404
healthz           GET     200    200       200     200     200      200       200
healthz           POST    405    405       405     405     405      405       405
readyz            GET     503    503       503     503     503      503       503
readyz            POST    405    405       405     405     405      405       405
metrics-installation GET  404   404       404     404     404      404       404
metrics-installation POST 405   405       405     405     405      405       405
login             GET     302    302       302     302     302      302       200
login             POST    302    302       302     302     302      302       200
mails                       GET   200    200    200    404    404    200    302
mails                       POST  422    422    422    404    404    422    302
leave-mails                 GET   200    200    200    200    200    200    200
leave-mails                 POST  200    200    200    200    200    200    200
channels                    GET   200    200    200    404    404    200    302
channels                    POST  422    422    404    404    404    422    302
channel                     GET   200    200    200    404    404    404    302
channel                     POST  422    422    404    404    404    404    302
channel-act                 GET   405    405    405    405    405    405    302
channel-act                 POST  303    303    404    404    404    404    302
replay-delivery             GET   405    405    405    405    405    405    302
replay-delivery             POST  303    303    404    404    404    404    302
mfa_index                   GET   200    200    200    200    200    200    302
mfa_index                   POST  405    405    405    405    405    405    302
account_logout              GET   405    405    405    405    405    405    302
account_logout              POST  302    302    302    302    302    302    302
account_login               GET   302    302    302    302    302    302    200
account_login               POST  302    302    302    302    302    302    200
account_request_login_code  GET   302    302    302    302    302    302    200
account_request_login_code  POST  302    302    302    302    302    302    200
account_confirm_login_code  GET   302    302    302    302    302    302    302
account_confirm_login_code  POST  302    302    302    302    302    302    302
account_reauthenticate      GET   200    200    200    200    200    200    302
account_reauthenticate      POST  200    200    200    200    200    200    302
account_change_password     GET   200    200    200    200    200    200    302
account_change_password     POST  200    200    200    200    200    200    302
account_set_password        GET   302    302    302    302    302    302    302
account_set_password        POST  302    302    302    302    302    302    302
mfa_authenticate            GET   302    302    302    302    302    302    302
mfa_authenticate            POST  302    302    302    302    302    302    302
mfa_reauthenticate          GET   302    302    302    302    302    302    302
mfa_reauthenticate          POST  302    302    302    302    302    302    302
mfa_activate_totp           GET   302    302    302    302    302    302    302
mfa_activate_totp           POST  302    302    302    302    302    302    302
mfa_deactivate_totp         GET   404    404    404    404    404    404    302
mfa_deactivate_totp         POST  404    404    404    404    404    404    302
mfa_view_recovery_codes     GET   404    404    404    404    404    404    302
mfa_view_recovery_codes     POST  405    405    405    405    405    405    302
mfa_generate_recovery_codes GET   302    302    302    302    302    302    302
mfa_generate_recovery_codes POST  302    302    302    302    302    302    302
mfa_list_webauthn           GET   200    200    200    200    200    200    302
mfa_list_webauthn           POST  405    405    405    405    405    405    302
mfa_add_webauthn            GET   302    302    302    302    302    302    302
mfa_add_webauthn            POST  302    302    302    302    302    302    302
mfa_reauthenticate_webauthn GET   302    302    302    302    302    302    302
mfa_reauthenticate_webauthn POST  302    302    302    302    302    302    302
mfa_login_webauthn          GET   302    302    302    302    302    302    302
mfa_login_webauthn          POST  302    302    302    302    302    302    302
mfa_edit_webauthn           GET   302    302    302    302    302    302    302
mfa_edit_webauthn           POST  302    302    302    302    302    302    302
mfa_remove_webauthn         GET   302    302    302    302    302    302    302
mfa_remove_webauthn         POST  302    302    302    302    302    302    302
remove-account              GET   302    302    302    302    302    302    302
remove-account              POST  302    302    302    302    302    302    302
usersessions_list           GET   200    200    200    200    200    200    302
usersessions_list           POST  302    302    302    302    302    302    302
logout            GET     405    405       405     405     405      405       302
logout            POST    302    302       302     302     302      302       302
keep-view         GET     405    405       405     405     405      405       302
keep-view         POST    303    303       303     404     404      303       302
jump              GET     200    200       200     404     404      200       302
jump              POST    200    200       200     404     404      200       302
wizard-client     GET     200    404       404     404     404      200       302
wizard-client     POST    422    404       404     404     404      422       302
load-demo         GET     405    405       405     405     405      405       302
load-demo         POST    303    404       404     404     404      303       302
remove-demo       GET     405    405       405     405     405      405       302
remove-demo       POST    303    404       404     404     404      404       302
wizard-go-on      GET     303    303       404     404     404      404       302
wizard-go-on      POST    303    303       404     404     404      404       302
wizard-host       GET     200    200       404     404     404      404       302
wizard-host       POST    422    422       404     404     404      404       302
wizard-pipeline   GET     200    200       404     404     404      404       302
wizard-pipeline   POST    422    422       404     404     404      404       302
wizard-data       GET     200    200       404     404     404      404       302
wizard-data       POST    422    422       404     404     404      404       302
wizard-run        GET     200    200       404     404     404      404       302
wizard-run        POST    422    422       404     404     404      404       302
presets           GET     200    200       404     404     404      200       302
presets           POST    422    422       404     404     404      422       302
training-services GET     200    200       404     404     404      200       302
training-services POST    422    422       404     404     404      422       302
withdraw-training GET     405    405       405     405     405      405       302
withdraw-training POST    303    303       404     404     404      404       302
preset            GET     200    200       404     404     404      404       302
preset            POST    422    422       404     404     404      404       302
bulk-change       GET     200    200       404     404     404      200       302
bulk-change       POST    422    422       404     404     404      422       302
follow-preset     GET     200    200       404     404     404      404       302
follow-preset     POST    422    422       404     404     404      404       302
trigger-backtest  GET     200    200       200     404     404      404       302
trigger-backtest  POST    200    200       200     404     404      404       302
false-alarms      GET     200    200       200     404     404      404       302
false-alarms      POST    200    200       200     404     404      404       302
clone-pipeline    GET     200    200       404     404     404      404       302
clone-pipeline    POST    422    422       404     404     404      404       302
new-client        GET     200    404       404     404     404      200       302
new-client        POST    422    404       404     404     404      422       302
gate-log          GET     200    200       200     404     404      200       302
gate-log          POST    200    200       200     404     404      200       302
gate-log-file     GET     200    200       200     404     404      200       302
gate-log-file     POST    200    200       200     404     404      200       302
rollback-log      GET     200    200       200     404     404      200       302
rollback-log      POST    200    200       200     404     404      200       302
agency-audit      GET     200    200       404     404     404      200       302
agency-audit      POST    200    200       404     404     404      200       302
freezes           GET     200    200       200     404     404      200       302
freezes           POST    422    422       404     404     404      422       302
lift-freeze       GET     200    200       404     404     404      404       302
lift-freeze       POST    422    422       404     404     404      404       302
four-eyes         GET     200    200       200     404     404      200       302
four-eyes         POST    422    404       404     404     404      422       302
decide-proposal   GET     200    404       404     404     404      404       302
decide-proposal   POST    422    404       404     404     404      404       302
client-four-eyes  GET     200    200       200     404     404      404       302
client-four-eyes  POST    422    404       404     404     404      404       302
decide-client-proposal GET  200  200       404     404     404      404       302
decide-client-proposal POST 422  422       404     404     404      404       302
value             GET     200    200       200     404     404      200       302
value             POST    200    200       200     404     404      200       302
caps              GET     200    200       200     404     404      200       302
caps              POST    303    404       404     404     404      303       302
client-caps       GET     200    200       200     404     404      404       302
client-caps       POST    303    404       404     404     404      404       302
value-terms       GET     200    404       404     404     404      200       302
value-terms       POST    422    404       404     404     404      422       302
usage             GET     200    200       200     404     404      404       302
usage             POST    422    404       404     404     404      404       302
usage-file        GET     200    200       200     404     404      404       302
usage-file        POST    200    200       200     404     404      404       302
timeline          GET     200    200       200     404     404      404       302
timeline          POST    200    200       200     404     404      404       302
timeline-file     GET     200    200       200     404     404      404       302
timeline-file     POST    200    200       200     404     404      404       302
agency-leaving    GET     200    404       404     404     404      200       302
agency-leaving    POST    200    404       404     404     404      200       302
agency-archive    GET     405    405       405     405     405      405       302
agency-archive    POST    200    404       404     404     404      200       302
leaving           GET     200    404       404     404     404      404       302
leaving           POST    200    404       404     404     404      404       302
person            GET     200    404       404     404     404      404       302
person            POST    422    404       404     404     404      404       302
erase-client      GET     405    405       405     405     405      405       302
erase-client      POST    422    404       404     404     404      404       302
go-on-erasing     GET     405    405       405     405     405      405       302
go-on-erasing     POST    303    404       404     404     404      404       302
erasure-certificate  GET     200    404       404     404     404      404       302
erasure-certificate  POST    200    404       404     404     404      404       302
client-archive    GET     405    405       405     405     405      405       302
client-archive    POST    200    404       404     404     404      404       302
machines          GET     200    200       200     404     404      200       302
machines          POST    422    404       404     404     404      422       302
order-machine     GET     200    404       404     404     404      404       302
order-machine     POST    422    404       404     404     404      404       302
brand             GET     200    404       404     404     404      200       302
brand             POST    422    404       404     404     404      422       302
view-person       GET     405    405       405     405     405      405       302
view-person       POST    303    404       404     404     404      404       302
stop-viewing      GET     405    405       405     405     405      405       302
stop-viewing      POST    303    303       303     303     303      303       302
change-role       GET     200    404       404     404     404      404       302
change-role       POST    422    404       404     404     404      404       302
close-invitation  GET     405    405       405     405     405      405       302
close-invitation  POST    303    404       404     404     404      404       302
invitation        GET     200    200       200     200     200      200       200
invitation        POST    303    303       303     303     303      303       422
people            GET     200    200       200     404     404      200       302
sign-in-rules     GET     200    200       200     404     404      200       302
sign-in-rules     POST    422    404       404     404     404      422       302
people            POST    422    404       404     404     404      422       302
remove-person     GET     200    404       404     404     404      404       302
remove-person     POST    422    404       404     404     404      404       302
client            GET     200    200       200     404     404      404       302
client            POST    200    200       200     404     404      404       302
ledger            GET     200    200       200     404     404      404       302
ledger            POST    200    200       200     404     404      404       302
audit             GET     200    200       200     404     404      404       302
audit             POST    200    200       200     404     404      404       302
kept              GET     200    200       200     404     404      404       302
kept              POST    422    422       404     404     404      404       302
client-training   GET     200    200       200     404     404      404       302
client-training   POST    422    422       404     404     404      404       302
take-back-training GET    405    405       405     405     405      405       302
take-back-training POST   303    303       404     404     404      404       302
judges            GET     200    200       200     404     404      404       302
judges            POST    422    422       404     404     404      404       302
withdraw-judge    GET     405    405       405     405     405      405       302
withdraw-judge    POST    303    303       404     404     404      404       302
view-client       GET     405    405       405     405     405      405       302
view-client       POST    303    303       303     404     404      404       302
sharing           GET     200    200       200     404     404      404       302
sharing           POST    422    422       404     404     404      404       302
issue-link        GET     405    405       405     405     405      405       302
issue-link        POST    422    404       404     404     404      404       302
revoke-link       GET     405    405       405     405     405      405       302
revoke-link       POST    303    404       404     404     404      404       302
letter            GET     200    200       404     404     404      404       302
letter            POST    422    422       404     404     404      404       302
shared-examples   GET     200    200       200     404     404      404       302
shared-examples   POST    422    422       404     404     404      404       302
add-host          GET     405    405       405     405     405      405       302
add-host          POST    422    422       404     404     404      404       302
add-agent-host    GET     405    405       405     405     405      405       302
add-agent-host    POST    422    422       404     404     404      404       302
renew-agent       GET     200    200       404     404     404      404       302
renew-agent       POST    422    422       404     404     404      404       302
revoke-agent      GET     200    200       404     404     404      404       302
revoke-agent      POST    422    422       404     404     404      404       302
probe-host        GET     405    405       405     405     405      405       302
probe-host        POST    303    303       404     404     404      404       302
host              GET     200    200       200     404     404      404       302
host              POST    200    200       200     404     404      404       302
host-access       GET     405    405       405     405     405      405       302
host-access       POST    422    422       404     404     404      404       302
host-terms        GET     405    405       405     405     405      405       302
host-terms        POST    422    422       404     404     404      404       302
drain-host        GET     200    200       404     404     404      404       302
drain-host        POST    422    422       404     404     404      404       302
undrain-host      GET     200    200       404     404     404      404       302
undrain-host      POST    422    422       404     404     404      404       302
adopt             GET     200    200       404     404     404      404       302
adopt             POST    422    422       404     404     404      404       302
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
pause             GET     200    200       404     404     404      404       302
pause             POST    422    422       404     404     404      404       302
resume            GET     200    200       404     404     404      404       302
resume            POST    422    422       404     404     404      404       302
start-run         GET     405    405       405     405     405      405       302
start-run         POST    422    422       404     404     404      404       302
import-model      GET     200    200       404     404     404      404       302
import-model      POST    422    422       404     404     404      404       302
data              GET     200    200       200     404     404      404       302
data              POST    200    200       200     404     404      404       302
hold-out          GET     405    405       405     405     405      405       302
hold-out          POST    422    422       404     404     404      404       302
one-upload        GET     200    200       200     404     404      404       302
one-upload        POST    422    422       404     404     404      404       302
source            GET     200    200       200     404     404      404       302
source            POST    422    422       404     404     404      404       302
dataset           GET     200    200       200     404     404      404       302
dataset           POST    200    200       200     404     404      404       302
withdraw          GET     200    200       404     404     404      404       302
withdraw          POST    422    422       404     404     404      404       302
upload            GET     405    405       405     405     405      405       302
upload            POST    422    422       404     404     404      404       302
upload-set        GET     405    405       405     405     405      405       302
upload-set        POST    422    422       404     404     404      404       302
eval-sets         GET     200    200       200     404     404      404       302
eval-sets         POST    200    200       200     404     404      404       302
eval-set          GET     200    200       200     404     404      404       302
eval-set          POST    422    422       404     404     404      404       302
eval-case         GET     200    200       404     404     404      404       302
eval-case         POST    422    422       404     404     404      404       302
eval-promote      GET     200    200       404     404     404      404       302
eval-promote      POST    422    422       404     404     404      404       302
eval-starter      GET     200    200       404     404     404      404       302
eval-starter      POST    422    422       404     404     404      404       302
quarantine        GET     200    200       200     404     404      404       302
quarantine        POST    422    422       404     404     404      404       302
review            GET     200    200       200     404     404      404       302
review            POST    422    422       404     404     404      404       302
complaint         GET     200    200       200     404     404      404       302
complaint         POST    200    200       200     404     404      404       302
row               GET     200    200       200     404     404      404       302
row               POST    422    422       404     404     404      404       302
runs              GET     200    200       200     404     404      404       302
runs              POST    200    200       200     404     404      404       302
run               GET     200    200       200     404     404      404       302
run               POST    200    200       200     404     404      404       302
comparison        GET     200    200       200     404     404      404       302
comparison        POST    200    200       200     404     404      404       302
comparison-case   GET     200    200       200     404     404      404       302
comparison-case   POST    200    200       200     404     404      404       302
blind             GET     200    200       200     404     404      404       302
blind             POST    422    422       404     404     404      404       302
decide            GET     200    200       404     404     404      404       302
decide            POST    422    422       404     404     404      404       302
rerun             GET     200    200       404     404     404      404       302
rerun             POST    422    422       404     404     404      404       302
replay            GET     200    200       200     404     404      404       302
replay            POST    200    200       200     404     404      404       302
watch             GET     200    200       200     404     404      404       302
watch             POST    200    200       200     404     404      404       302
versions          GET     200    200       200     404     404      404       302
versions          POST    200    200       200     404     404      404       302
version           GET     200    200       200     404     404      404       302
version           POST    200    200       200     404     404      404       302
traffic           GET     200    200       200     404     404      404       302
traffic           POST    200    200       200     404     404      404       302
trends            GET     200    200       200     404     404      404       302
trends            POST    200    200       200     404     404      404       302
version-file      GET     200    200       200     404     404      404       302
version-file      POST    200    200       200     404     404      404       302
measure-hops      GET     405    405       405     405     405      405       302
measure-hops      POST    303    303       404     404     404      404       302
prompt            GET     200    200       404     404     404      404       302
prompt            POST    422    422       404     404     404      404       302
passport-file     GET     200    200       200     404     404      404       302
passport-file     POST    200    200       200     404     404      404       302
roll-back         GET     200    200       404     404     404      404       302
roll-back         POST    422    422       404     404     404      404       302
drills            GET     200    200       200     404     404      404       302
drills            POST    422    422       404     404     404      404       302
pipeline-gates    GET     200    200       200     404     404      404       302
pipeline-gates    POST    200    200       200     404     404      404       302
gate-odds         GET     200    200       200     404     404      404       302
gate-odds         POST    200    200       200     404     404      404       302
gate-simulator    GET     200    200       200     404     404      404       302
gate-simulator    POST    200    200       200     404     404      404       302
waive-gate        GET     200    200       404     404     404      404       302
waive-gate        POST    422    422       404     404     404      404       302
withdraw-waiver   GET     200    200       404     404     404      404       302
withdraw-waiver   POST    422    422       404     404     404      404       302
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
pipeline-report   GET     200    200       200     200     404      404       302
pipeline-report   POST    405    405       405     405     405      405       302
shared-report     GET     200    200       200     200     200      200       200
shared-report     POST    405    405       405     405     405      405       405
shared-pipeline   GET     200    200       200     200     200      200       200
shared-pipeline   POST    405    405       405     405     405      405       405
client-file       GET     200    200       200     200     200      200       200
client-file       POST    405    405       405     405     405      405       405
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
# owner's signed-in browser without a key. Machines and agents have tokens of their own; an address of a file opens
# without one.
OPERATIONS = read(
    """
name                    method  key  other_verb  sibling_key  stranger_key  revoked_key  session
list_pipelines          GET     200  403         200          200           401          401
read_pipeline           GET     200  403         404          404           401          401
pause_pipeline          POST    200  403         404          404           401          401
resume_pipeline         POST    409  403         404          404           401          401
list_trigger_decisions  GET     200  403         200          200           401          401
upload_examples         POST    201  403         404          404           401          401
read_batch              GET     200  403         404          404           401          401
import_a_model          POST    409  403         404          404           401          401
order_run               POST    409  403         404          404           401          401
list_runs               GET     200  403         404          404           401          401
read_run                GET     200  403         404          404           401          401
order_rerun             POST    409  403         404          404           401          401
read_rollout            GET     200  403         404          404           401          401
order_rollout           POST    409  403         404          404           401          401
list_versions           GET     200  403         404          404           401          401
read_version            GET     200  403         404          404           401          401
read_version_yaml       GET     200  403         404          404           401          401
read_passport           GET     200  403         404          404           401          401
order_rollback          POST    409  403         404          404           401          401
list_rollbacks          GET     200  403         200          200           401          401
order_drill             POST    409  403         404          404           401          401
list_drills             GET     200  403         200          200           401          401
read_ledger_at          GET     200  403         200          200           401          401
read_ledger_changes     GET     422  403         422          422           401          401
list_freezes            GET     200  403         200          200           401          401
set_freeze              POST    201  403         201          201           401          401
lift_freeze             POST    200  403         404          404           401          401
list_waivers            GET     200  403         404          404           401          401
read_settings           GET     200  403         404          404           401          401
change_settings         PUT     200  403         404          404           401          401
order_waiver            POST    201  403         404          404           401          401
end_waiver              POST    200  403         404          404           401          401
list_hosts              GET     200  403         200          200           401          401
read_host               GET     200  403         404          404           401          401
drain_host              POST    200  403         404          404           401          401
undrain_host            POST    409  403         404          404           401          401
send_feedback           POST    409  403         409          409           401          401
greet_machine           POST    401  401         401          401           401          401
fetch_worker            GET     401  401         401          401           401          401
claim_job               POST    401  401         401          401           401          401
list_inputs             POST    401  401         401          401           401          401
fetch_input             GET     416  416         416          416           416          416
beat_job                POST    401  401         401          401           401          401
read_parts              GET     401  401         401          401           401          401
put_part                PUT     401  401         401          401           401          401
hand_in_job             POST    401  401         401          401           401          401
fail_job                POST    401  401         401          401           401          401
greet_agent             POST    401  401         401          401           401          401
fetch_agent             GET     401  401         401          401           401          401
claim_call              POST    401  401         401          401           401          401
beat_call               POST    401  401         401          401           401          401
answer_call             PUT     401  401         401          401           401          401
fetch_upload            GET     416  416         416          416           416          416
take_records            POST    401  401         401          401           401          401
""",
    CALLERS,
)
