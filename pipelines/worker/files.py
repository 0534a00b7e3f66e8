"""Inputs in and results out, in pieces: a cut link costs the piece that was under way and nothing more."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pipelines.tars import pack, unpack
from pipelines.worker.link import Gone, Link, Refused

PIECE_BYTES = 4 * 2**20
Stop = Callable[[], bool]


@dataclass(frozen=True)
class Claimed:
    """A job as the door `machine/claim` tells it."""

    link: Link
    told: Mapping[str, Any]

    def path(self, rest: str) -> str:
        return f"jobs/{self.told['job']}/{rest}"

    def body(self, **more: Any) -> dict[str, Any]:
        return {"version": self.told["version"], **more}


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_all(job: Claimed, folder: Path, bases: Path, stop: Stop) -> dict[str, Path]:
    """Every input, whole and compared: name -> where it lies. Files of bases are kept for the next job."""
    places: dict[str, Path] = {}
    for one in job.told["inputs"]:
        kept = (bases if one["kind"] == "base" else folder / "fetched") / one["digest"]
        if not (kept.is_file() and digest_of(kept) == one["digest"]):
            _fetch(job, one, kept, stop)
        places[one["name"]] = _placed(one, kept, folder / "in" / one["name"])
    return places


def _placed(one: Mapping[str, Any], kept: Path, place: Path) -> Path:
    match one["kind"]:
        case "base":
            target = place / one["path"]
            if place.resolve() not in target.resolve().parents:
                raise Refused(f"{one['path']!r} leads out of the base model's folder.")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            os.link(kept, target)
        case "folder":
            unpack(kept, place)
        case _:
            return kept
    return place


def _fetch(job: Claimed, one: Mapping[str, Any], to: Path, stop: Stop) -> None:
    """Goes on where the last attempt ended. Addresses grow old: then they are asked for anew."""
    to.parent.mkdir(parents=True, exist_ok=True)
    part, url, size = to.with_name(f"{to.name}.part"), one["url"], one["size_bytes"]
    part.touch()
    while part.stat().st_size < size:
        try:
            answer = job.link.ask("GET", job.link.url + url, stop, None, {"Range": f"bytes={part.stat().st_size}-"})
        except Refused:
            url = _address(job, one, stop)
            continue
        with part.open("ab") as file:
            file.write(answer.body)
    if part.stat().st_size != size or digest_of(part) != one["digest"]:
        part.unlink()
        raise OSError(f"{one['name']} {one['path']} did not arrive as it was sent")
    part.replace(to)


def _address(job: Claimed, one: Mapping[str, Any], stop: Stop) -> str:
    for again in job.link.post(job.path("inputs"), job.body(), stop):
        if (again["name"], again["path"], again["digest"]) == (one["name"], one["path"], one["digest"]):
            return str(again["url"])
    raise Gone("The job has other inputs now.")


def send_all(job: Claimed, out: Path, folder: Path, stop: Stop) -> dict[str, dict[str, Any]]:
    """Every output that was written: name -> digest and size."""
    sent = {}
    for name, kind in job.told["outputs"].items():
        path = out / name
        if path.exists():
            whole = path
            if kind == "folder":
                whole = folder / f"{name}.tar"
                pack(path, whole)
            _send(job, name, whole, stop)
            sent[name] = {"digest": digest_of(whole), "size": whole.stat().st_size}
    return sent


def _send(job: Claimed, name: str, path: Path, stop: Stop) -> None:
    parts = job.link.machine(job.path(f"parts/{name}"))
    asked = urlencode({"version": job.told["version"]})
    at = job.link.told("GET", f"{parts}?{asked}", stop)["size_bytes"]
    with path.open("rb") as file:
        for offset, body in _pieces(file, at):
            terms = {"offset": offset, "digest": hashlib.sha256(body).hexdigest()}
            url = f"{parts}?{asked}&{urlencode(terms)}"
            job.link.told("PUT", url, stop, body, {"Content-Type": "application/octet-stream"})


def _pieces(file: Any, at: int) -> Iterator[tuple[int, bytes]]:
    file.seek(at)
    while body := file.read(PIECE_BYTES):
        yield at, body
        at += len(body)
