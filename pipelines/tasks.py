"""The doors that queues knock on: ids in, the client's scope entered, one call."""

from celery import shared_task
from django.utils.timezone import now as clock

from pipelines import outbox, ticker
from pipelines.actions import imports
from pipelines.engine import kernel
from pipelines.fleet import look
from pipelines.machines import turns
from pipelines.outbox import deliveries, digests
from pipelines.plan import PLAN
from tenants.scope import agency_scope, client_scope


@shared_task(name="pipelines.tasks.wake_run")
def wake_run(client_id: int, run_id: int) -> None:
    with client_scope(client_id):
        kernel.advance(run_id, PLAN, clock)


@shared_task(name="pipelines.tasks.work_job")
def work_job(client_id: int, job_id: int) -> None:
    turns.work(client_id, job_id, clock)


@shared_task(name="pipelines.tasks.look_at_triggers")
def look_at_triggers(client_id: int, state_id: int) -> None:
    with client_scope(client_id):
        ticker.look_at_triggers(state_id, clock())


@shared_task(name="pipelines.tasks.send_notice")
def send_notice(client_id: int, notice_id: int) -> None:
    with client_scope(client_id):
        outbox.send_due(notice_id, clock())


@shared_task(name="pipelines.tasks.send_delivery")
def send_delivery(client_id: int, delivery_id: int) -> None:
    with client_scope(client_id):
        deliveries.send_due(delivery_id, clock())


@shared_task(name="pipelines.tasks.send_digest")
def send_digest(agency_id: int, choice_id: int) -> None:
    with agency_scope(agency_id):
        digests.send_due(choice_id, clock())


@shared_task(name="pipelines.tasks.look_at_host")
def look_at_host(client_id: int, host_id: int) -> None:
    with client_scope(client_id):
        look.look_at(host_id, clock())


@shared_task(name="pipelines.tasks.read_file")
def read_file(client_id: int, batch_id: int) -> None:
    with client_scope(client_id):
        imports.read_file(batch_id, clock)
