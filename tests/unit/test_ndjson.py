"""An NDJSON body as lines: whole, capped, and never silently short."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from io import BytesIO

import pytest
from django.test import RequestFactory
from ninja.errors import HttpError

from agency.api.ndjson import CutOff, announced_chunks, body_lines
from pipelines.imports.lines import split_lines

MIB = 2**20


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a\nb"], [b"a", b"b"]),
        ([b"a", b"b\nc", b"", b"d\n"], [b"ab", b"cd"]),
        ([b"a\r\n", b"\r\nb"], [b"a", b"", b"b"]),
        ([b"\n\n"], [b"", b""]),
        ([], []),
    ],
)
def test_lines_do_not_depend_on_where_chunks_end(chunks: list[bytes], lines: list[bytes]) -> None:
    assert list(split_lines(iter(chunks))) == lines


def test_of_a_line_over_the_limit_only_the_beginning_is_kept() -> None:
    chunks = iter([b"x" * 7, b"x" * 7 + b"\nshort\n"])

    assert list(split_lines(chunks, limit=10)) == [b"x" * 10, b"short"]


def test_a_body_that_ends_before_its_announced_length_is_an_error_and_not_an_end() -> None:
    lines = split_lines(announced_chunks(BytesIO(b"one\ntwo\nthr").read, 100))

    assert [next(lines), next(lines)] == [b"one", b"two"]
    with pytest.raises(CutOff, match="11 of 100 bytes"):
        next(lines)


def test_an_empty_or_compressed_body_is_refused_before_anything_is_read_from_it() -> None:
    post = RequestFactory().post

    with pytest.raises(HttpError, match="no lines"):
        body_lines(post("/", b"", content_type="application/x-ndjson"))
    with pytest.raises(HttpError, match="uncompressed"):
        body_lines(post("/", b"x", content_type="application/x-ndjson", headers={"Content-Encoding": "gzip"}))


def test_a_long_upload_needs_little_memory_even_when_it_is_one_single_line() -> None:
    def chunks(of: bytes) -> Iterator[bytes]:
        yield from (of for _ in range(200 * MIB // len(of)))

    tracemalloc.start()
    many = sum(1 for _ in split_lines(chunks((b"x" * 1023 + b"\n") * 64)))
    (one,) = split_lines(chunks(b"x" * 65536))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (many, len(one)) == (204_800, 1_000_001)
    assert peak < 8 * MIB
