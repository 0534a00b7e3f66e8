"""Sending an order to gateways, from any process of this machine; needs neither the database nor Django's apps."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import orjson

ANSWER_S = 5.0


def send_order(path: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Sends one order to a gateway's socket and returns its answer. Blocking; OSError when nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_S)
        connection.connect(os.fspath(path))
        connection.sendall(orjson.dumps(order) + b"\n")
        with connection.makefile("rb") as answers:
            answer: dict[str, Any] = orjson.loads(answers.readline())
    return answer


def sockets(folder: Path) -> list[Path]:
    """The admin sockets of every gateway that shares this folder."""
    return sorted(folder.glob("gateway-*.sock"))


def is_listening(path: Path) -> bool:
    """Whether a process answers at this socket; a file left by a crash does not count."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(os.fspath(path)) == 0
