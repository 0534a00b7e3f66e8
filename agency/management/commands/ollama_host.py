"""manage.py ollama_host: starts the embedded Ollama-compatible host in a process of its own, without Django."""

import argparse
import os
import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from agency.ollama_host import serve

NOT_OURS = ("verbosity", "settings", "pythonpath", "traceback", "no_color", "force_color", "skip_checks")


class Command(BaseCommand):
    help = _("Starts the embedded Ollama-compatible host; prints its URL when it is ready.")
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        serve.add_arguments(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        given = {name: value for name, value in options.items() if name not in NOT_OURS and value not in (None, "")}
        flags = [text for name, value in given.items() for text in (f"--{name.replace('_', '-')}", str(value))]
        os.execv(sys.executable, [sys.executable, "-m", "agency.ollama_host", *flags])
