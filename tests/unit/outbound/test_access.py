"""What a host is sent to let us in, and what is refused before anybody sends it."""

from __future__ import annotations

import pytest

from pipelines.outbound import Access, AccessRefused
from tests.unit.outbound.certificates import Authority


def test_bearer_and_basic_are_headers() -> None:
    assert Access.bearer("t0ken").headers() == {"Authorization": "Bearer t0ken"}
    assert Access.basic("Aladdin", "open sesame").headers() == {"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}
    assert Access().headers() == {}


def test_it_prints_what_it_is_and_never_the_secret() -> None:
    text = repr([Access("X-Key", "s3cret"), Access.bearer("s3cret")])
    assert "X-Key" in text and "s3cret" not in text


def test_it_survives_the_way_into_a_child() -> None:
    access = Access.basic("us", "s3cret", authority=Authority().pem)
    assert Access.of(access.fields()) == access
    assert Access.of(None) == Access()


PAIR = Authority().issue("retune.example")


@pytest.mark.parametrize(
    ("access", "field"),
    [
        (Access("X-Key", ""), "value"),
        (Access("", "s3cret"), "value"),
        (Access("X Key", "s3cret"), "header"),
        (Access("Host", "inner.example"), "header"),
        (Access("Transfer-Encoding", "chunked"), "header"),
        (Access("X-Key", "a\r\nX-Other: b"), "value"),
        (Access("X-Key", "ключ"), "value"),
        (Access(certificate=PAIR.certificate), "key"),
        (Access(key=PAIR.key), "key"),
        (Access(certificate="-----BEGIN", key=PAIR.key), "certificate"),
        (Access(certificate=PAIR.certificate, key="-----BEGIN"), "key"),
        (Access(certificate=PAIR.certificate, key=Authority().issue("other.example").key), "key"),
        (Access(authority="no certificate"), "authority"),
    ],
)
def test_what_no_host_could_be_sent_is_refused_with_its_field(access: Access, field: str) -> None:
    with pytest.raises(AccessRefused) as caught:
        access.checked()
    assert caught.value.field == field


def test_a_user_name_with_a_colon_cannot_be_sent() -> None:
    with pytest.raises(AccessRefused):
        Access.basic("us:them", "s3cret")


def test_a_whole_one_passes() -> None:
    Access("X-Key", "s3cret", PAIR.certificate, PAIR.key, Authority().pem).checked().tls()
