"""The program's words. What it needs, and how it is used, is told by the standard library alone."""

from __future__ import annotations

import logging
import os
import sys

from pipelines.worker import updating
from pipelines.worker.link import Link, Refused, Unknown
from pipelines.worker.place import alone_in, token

USAGE = """retune-agent: serves a client's models beside its Ollama. It connects out only.

  RETUNE_URL           where Retune is: https://...
  RETUNE_TOKEN         the token that the host's page showed; or RETUNE_TOKEN_FILE
  RETUNE_GATEWAY_URL   where Retune's gateway is, if at another address
  RETUNE_OLLAMA_URL    the Ollama beside it (default http://127.0.0.1:11434)
  RETUNE_LISTEN        where the client's applications ask (default 127.0.0.1:8430)
  RETUNE_WORK_DIR      routes, records and files on their way (default ~/.cache/retune-agent)
  RETUNE_GATEWAY_...   limits of its gateway, as at headquarters: RETUNE_GATEWAY_TOTAL_S and its neighbours

  requirements         prints what it needs, for pip install -r
  update               takes the program that Retune offers, once; the one of before is kept beside it
  --update             serves, and takes whatever program Retune offers from then on: only where its operator may run
                       code on this machine
"""
PAUSE_S = 5.0


def main(arguments: list[str]) -> int:
    if arguments == ["requirements"]:
        print(_packed("requirements.txt"), end="")
        return 0
    if arguments == ["version"]:
        from agency.agent.serving import server_version

        print(built(), server_version())
        return 0
    if arguments not in ([], ["update"], ["--update"]) or not os.environ.get("RETUNE_URL"):
        print(USAGE)
        return 0 if arguments in (["help"], ["--help"]) else 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        has_new_program = _serve(arguments)
    except (ValueError, OSError, Unknown, Refused, updating.NotTaken) as wrong:
        print(wrong, file=sys.stderr)
        return 1
    if has_new_program:
        updating.restart()
    return 0


def _serve(arguments: list[str]) -> bool:
    """Until it ends; whether for another program that is here now. Raises what `main` tells."""
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    from agency.agent.serving import Agent, Terms

    # The gateway's code asks for these; there is no database and no application here.
    settings.configure(OWN_REDACTIONS={}, DATABASES={})
    terms = Terms.from_environment()
    key, pause_s = token(), float(os.environ.get("RETUNE_PAUSE_S", PAUSE_S))
    if arguments == ["update"]:
        print(updating.once(Link(terms.url, key, pause_s, room="agent")))
        return False
    try:
        agent = Agent(terms, key, pause_s, updates=bool(arguments))
    except ImproperlyConfigured as wrong:
        raise ValueError(wrong) from wrong
    with alone_in(terms.folder, "retune-agent"):
        agent.serve()
    return agent.has_new_program


def built() -> str:
    return _packed("version.txt").strip()


def _packed(name: str) -> str:
    """Written into the one file when it is packed."""
    import pkgutil

    try:
        return (pkgutil.get_data("agency.agent", name) or b"").decode()
    except OSError:
        return ""
