"""A gateway alone (`--port N`), or an order to the gateways of this machine (`--flip client/pipeline:vN`)."""

from __future__ import annotations

import argparse
import os
import re
import sys

import django


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agency.settings")
    parser = argparse.ArgumentParser(prog="python -m agency.gateway", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, help="serve on this port")
    parser.add_argument(
        "--flip", metavar="CLIENT/PIPELINE:vN", help="all traffic to this version, without the database"
    )
    chosen = parser.parse_args()
    if chosen.flip:
        return flip(chosen.flip)
    if not chosen.port:
        parser.error("--port or --flip is needed")
    serve(chosen.host, chosen.port)
    return 0


def serve(host: str, port: int) -> None:
    import uvicorn

    django.setup()
    from django.conf import settings

    from agency import env
    from agency.gateway.app import Gateway, beside, nothing_else

    name = env.text("RETUNE_GATEWAY_NAME") or str(port)
    application = beside(Gateway(name, settings.VAR), nothing_else)
    uvicorn.run(application, host=host, port=port, access_log=False, proxy_headers=False, log_config=None)


def flip(name: str) -> int:
    """Orders every gateway whose socket lies in the var folder. Exit status 1 unless all of them obeyed."""
    found = re.fullmatch(r"([a-z0-9-]+)/([a-z0-9-]+):v(\d+)", name)
    if found is None:
        print(f"{name} is not of the form client/pipeline:v3", file=sys.stderr)
        return 2
    from django.conf import settings

    from agency.gateway.routes.orders import send_order, sockets

    order = {"flip": {"client": found[1], "pipeline": found[2], "to_version": int(found[3])}}
    answers = {}
    for path in sockets(settings.VAR):
        try:
            answers[path.name] = send_order(path, order)
        except OSError as error:
            answers[path.name] = {"ok": False, "error": f"Nobody answers: {error.strerror or error}"}
        except ValueError:
            answers[path.name] = {"ok": False, "error": "The connection was closed without an answer."}
    for socket_name, answer in answers.items():
        print(f"{socket_name}: {'flipped' if answer['ok'] else answer['error']}")
    return 0 if answers and all(answer["ok"] for answer in answers.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
