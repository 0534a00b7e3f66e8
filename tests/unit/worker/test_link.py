"""The way to headquarters: which address may be told a token, what is asked again, and what is an answer."""

from __future__ import annotations

import itertools
from http.server import BaseHTTPRequestHandler

import pytest

from pipelines.worker.link import FIRST_PAUSE_S, Gone, Link, Refused, Stopped, Unknown, pauses
from tests.servers import free_port
from tests.unit.outbound.answering import says, server


def never() -> bool:
    return False


def cut_short(handler: BaseHTTPRequestHandler) -> None:
    """An answer of which the link lets only the beginning through."""
    handler.send_response(200)
    handler.send_header("Content-Length", "4000")
    handler.end_headers()
    handler.wfile.write(b'{"half')


@pytest.mark.parametrize(
    "url", ["http://retune.example.net", "ftp://retune.example.net", "http://127.0.0.1.example.net"]
)
def test_a_token_goes_over_https_only(url: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        Link(url, "rm_secret")


@pytest.mark.parametrize(("status", "raised"), [(401, Unknown), (410, Gone), (409, Refused), (404, Refused)])
def test_an_answer_that_says_no_is_not_asked_again(status: int, raised: type[Exception]) -> None:
    with server(says(b'{"error": {"code": "x", "message": "A sentence."}}', status)) as port:
        with pytest.raises(raised):
            Link(f"http://127.0.0.1:{port}", "rm_secret").post("claim", {}, never)


def test_a_redirect_is_not_followed_and_the_token_goes_nowhere_else() -> None:
    heard: list[str] = []

    def listen(handler: BaseHTTPRequestHandler) -> None:
        heard.append(handler.path)
        says(b"{}")(handler)

    with server(listen) as other, server(says(b"", 302, Location=f"http://127.0.0.1:{other}/")) as port:
        with pytest.raises(Refused, match="302"):
            Link(f"http://127.0.0.1:{port}", "rm_secret").post("claim", {}, never)
    assert heard == []


def test_what_is_no_answer_is_asked_again_until_there_is_one() -> None:
    count = itertools.count()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        match next(count):
            case 0:
                says(b"busy", 503)(handler)
            case 1:
                cut_short(handler)
            case _:
                says(b'{"whole": true}')(handler)

    with server(answer) as port:
        assert Link(f"http://127.0.0.1:{port}", "rm_secret", pause_s=0.01).post("claim", {}, never) == {"whole": True}


@pytest.mark.parametrize("asked", [None, {"Range": "bytes=0-"}], ids=["words", "a piece of a file"])
def test_a_page_in_headquarters_place_is_no_answer_and_is_said_once(
    asked: dict[str, str] | None, caplog: pytest.LogCaptureFixture
) -> None:
    count = itertools.count()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if next(count) < 3:
            says(b"<html>We are back soon.</html>", 200, Content_Type="text/html")(handler)
        else:
            says(b"[1]", 206 if asked else 200)(handler)

    with server(answer) as port:
        link = Link(f"http://127.0.0.1:{port}", "rm_secret", pause_s=0.01)
        found = link.ask("GET", link.url, never, None, asked).json() if asked else link.post("claim", {}, never)
    assert found == [1]
    assert caplog.text.count("No answer of headquarters") == 1


def test_nobody_there_is_asked_again_until_the_program_is_to_end() -> None:
    asked = itertools.count()

    with pytest.raises(Stopped):
        Link(f"http://127.0.0.1:{free_port()}", "rm_secret", pause_s=0.01).post("claim", {}, lambda: next(asked) > 20)


def test_pauses_grow_to_their_longest_and_are_never_in_step() -> None:
    drawn = list(itertools.islice(pauses(8.0), 200))

    assert drawn[0] <= FIRST_PAUSE_S
    assert max(drawn) <= 8.0 and max(drawn[50:]) > 4.0
    assert len({round(pause, 6) for pause in drawn}) > 190
