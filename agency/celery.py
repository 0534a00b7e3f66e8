"""The Celery app of a production installation: `celery -A agency.celery worker -Q default` (or cpu,gpu,push)."""

import os
from logging.config import dictConfig
from typing import Any

from celery import Celery
from celery.signals import setup_logging, task_prerun
from kombu.entity import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agency.settings")

QUEUES = ("default", "cpu", "gpu", "push")

app = Celery("retune")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = tuple(Queue(name) for name in QUEUES)
# A misspelt queue would swallow its messages without a word.
app.conf.task_create_missing_queues = False
# A request never waits long for a broker that is down: the ticker wakes what a lost message did not.
app.conf.task_publish_retry_policy = {"max_retries": 1, "interval_start": 0.1, "interval_max": 0.2}
app.conf.broker_transport_options = {"socket_connect_timeout": 2, "socket_timeout": 10, "retry_on_timeout": True}
app.autodiscover_tasks(["pipelines"])


@setup_logging.connect
def log_as_the_settings_say(**_: Any) -> None:
    """Celery would put its own format over the product's."""
    from django.conf import settings

    dictConfig(settings.LOGGING)


@task_prerun.connect
def sweep_beside(**_: Any) -> None:
    """A machine that only works is cleaned by its workers: beside the task that begins, so that it finds room."""
    from django.utils.timezone import now

    from agency.health.sweeping import BESIDE

    BESIDE.begin_if_due(now())
