"""`manage.py up`: the whole product on this machine, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from agency import env
from agency.embedded.processes import Group, Ports, commands
from agency.embedded.setup_token import invitation


class Command(BaseCommand):
    help = "Serves the product embedded: web, gateway, workers, ticker and model host. Ctrl-C ends all of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=Ports.web)
        parser.add_argument("--host-port", type=int, default=Ports.host)

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        call_command("collectstatic", verbosity=0, interactive=False)
        url = address(options["port"])
        said = {"RETUNE_BASE_URL": url, "RETUNE_EMBEDDED_HOST": f"http://127.0.0.1:{options['host_port']}"}
        group, stop = Group(sys.stdout, said), threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        for name, command in commands(Ports(options["port"], options["host_port"]), settings.VAR).items():
            group.start(name, command)
        self.stdout.write(invitation(url) or f"Retune: {url}/")
        while not stop.wait(1.0) and not group.dead():
            pass
        dead = group.dead()
        group.stop()
        if dead and not stop.is_set():
            raise CommandError(f"{', '.join(dead)} ended by itself: see the lines above.")


def address(port: int) -> str:
    """Where people find it: RETUNE_BASE_URL where that is set, else the port that was asked for."""
    return settings.BASE_URL if env.text("RETUNE_BASE_URL", "") else f"http://127.0.0.1:{port}"
