"""The door of asyncio: the gateway's connections are judged by the address that they go to."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from pipelines.outbound.sockets import judged_sockets
from tests.unit.outbound.answering import says, server


async def get(url: str, allow_private: bool, resolver: Any = None) -> bytes:
    connector = aiohttp.TCPConnector(socket_factory=judged_sockets(allow_private), resolver=resolver)
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as response:
        return await response.read()


class Turning(aiohttp.abc.AbstractResolver):
    """Leads every name to one address."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        found = {"hostname": host, "host": self.address, "port": port, "family": 2, "proto": 6, "flags": 0}
        return [found]

    async def close(self) -> None: ...


def test_the_gateway_reaches_a_private_host_with_leave() -> None:
    with server(says(b"here")) as port:
        assert asyncio.run(get(f"http://127.0.0.1:{port}/", True)) == b"here"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_and_not_without(host: str) -> None:
    with server(says(b"secret")) as port:
        with pytest.raises(aiohttp.ClientConnectorError):
            asyncio.run(get(f"http://{host}:{port}/", False))


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0"])
def test_a_name_that_turns_to_a_forbidden_address_opens_no_socket(address: str) -> None:
    with pytest.raises(aiohttp.ClientConnectorError) as caught:
        asyncio.run(get("http://turns.example:80/", True, Turning(address)))
    assert isinstance(caught.value.os_error, PermissionError)
