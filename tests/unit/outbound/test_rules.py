"""Which addresses the door lets through: a corpus, with and without the operator's leave for private ones."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import pytest

from pipelines.outbound import OutboundRefused, check_url
from pipelines.outbound.names import checked, parse
from pipelines.outbound.rules import refusal

PUBLIC = ("1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4003:80f::200e")
PRIVATE = ("127.0.0.1", "127.8.9.1", "10.0.0.5", "172.16.0.1", "172.31.255.254", "192.168.1.1", "100.64.0.1")
PRIVATE_6 = ("::1", "fd12:3456:789a::1", "fc00::1")
NEVER = (
    "169.254.169.254", "169.254.170.2", "169.254.1.1", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fec0::1", "0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.255.255.250",
    "ff02::1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.7", "192.88.99.1",
    "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:169.254.169.254", "::ffff:0:10.0.0.1", "::127.0.0.1", "::8.8.8.8",
    "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1", "2001::1", "2002:7f00:1::", "2002:0a00:0001::1",
    "2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:10.0.0.1", "2001:db8::1", "100::1", "3fff::1", "5f00::1",
)  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_may_be_called(text: str) -> None:
    assert refusal(ip_address(text), False) == "" == refusal(ip_address(text), True)


@pytest.mark.parametrize("text", [*PRIVATE, *PRIVATE_6])
def test_a_private_one_needs_the_operators_leave(text: str) -> None:
    assert refusal(ip_address(text), False) == "not a public address"
    assert refusal(ip_address(text), True) == ""


@pytest.mark.parametrize("text", NEVER)
def test_no_leave_opens_what_is_never_called(text: str) -> None:
    assert refusal(ip_address(text), True)
    assert refusal(ip_address(text), False)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://models.example", "file:///etc/passwd", "gopher://models.example", "javascript:alert(1)",
        "models.example", "//models.example", "http://", "http:///api", "https://user@models.example", "http://user:pw@models.example",
        "http://@models.example", "http://models.example:99999", "http://[::1", "unix:///run/x.sock", "",
    ],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(OutboundRefused):
        parse(url)


# What the C library reads as the loopback, whatever a list of forbidden texts would say.
@pytest.mark.parametrize(
    "url", ["http://2130706433", "http://0x7f000001", "http://0177.0.0.1", "http://127.1", "http://localhost"]
)
def test_another_way_of_writing_an_address_does_not_help(url: str) -> None:
    with pytest.raises(OutboundRefused, match="not a public address"):
        check_url(url, allow_private=False)


def test_a_name_that_leads_to_both_kinds_is_refused_whole() -> None:
    with pytest.raises(OutboundRefused, match=r"mixed\.example leads to 10\.0\.0\.1"):
        checked("mixed.example", 80, False, answering("8.8.8.8", "10.0.0.1"))


def test_the_advice_is_given_only_where_it_helps() -> None:
    with pytest.raises(OutboundRefused, match="Allow private hosts"):
        checked("inner.example", 80, False, answering("10.0.0.1"))
    with pytest.raises(OutboundRefused, match="never called"):
        checked("metadata.example", 80, True, answering("169.254.169.254"))


def test_an_address_with_a_zone_is_judged_without_it() -> None:
    with pytest.raises(OutboundRefused, match="link-local"):
        checked("near.example", 80, True, answering("fe80::1%eth0"))


def answering(*addresses: str) -> Any:
    def resolve(name: str, port: int, **_: Any) -> list[Any]:
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [(f, 1, 6, "", (address, port)) for f, address in zip(families, addresses, strict=True)]

    return resolve
