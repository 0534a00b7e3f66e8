"""Serves the host with uvicorn: flags, one line with the URL when ready, a clean end on SIGTERM."""

import argparse
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from agency.ollama_host.app import App
from agency.ollama_host.host import Settings
from agency.ollama_host.store.gguf import Generation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--generation", choices=[g.value for g in Generation], default="B", help="host behaviour")
    parser.add_argument("--port", type=int, default=11434, help="0 takes a free one")
    parser.add_argument("--bind", default="127.0.0.1", help="address to listen on (nothing here asks for a password)")
    parser.add_argument("--store", type=Path, required=True, help="folder for blobs and manifests")
    parser.add_argument("--shown-version", default="", help="version to report; default: one of the generation")
    parser.add_argument("--slow-ms", type=int, default=0, help="wait this long before each answer")
    parser.add_argument("--max-loaded", type=int, default=3, help="models resident at once")
    parser.add_argument("--max-queue", type=int, default=512, help="requests that may wait for a load; the next is 503")
    parser.add_argument("--disk-bytes", type=int, default=0, help="no space is left past this much of blobs")


def run(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT; models end with the server."""
    settings = Settings(
        arguments.store, Generation(arguments.generation), arguments.shown_version, arguments.max_loaded,
        arguments.slow_ms, arguments.max_queue, arguments.disk_bytes, arguments.bind,
    )  # fmt: skip
    config = uvicorn.Config(
        App(settings), host=arguments.bind, port=arguments.port, log_level="warning", lifespan="on",
        timeout_graceful_shutdown=2, server_header=False,
    )  # fmt: skip
    # uvicorn ends in order and then raises the signal again: an ordered end is a success.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    _Server(config).run()


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        for server in self.servers:
            host, port = server.sockets[0].getsockname()[:2]
            print(f"http://{host}:{port}", flush=True)
