"""A fine-tuning service over HTTP: files and jobs by OpenAI's API reference, no answer believed blindly."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2

from pipelines.outbound import Access, OutboundRefused
from pipelines.outbound.client import open_client, reason_of
from pipelines.trainers import TrainerError

Document = dict[str, Any]

CALL_S = 60.0
TRANSFER_S = 3_600.0
LARGEST_RESULT = 64 * 2**30
PAGE = 100
MOST_PAGES = 100
# Worth another attempt: the service is busy or being repaired.
PASSING = (408, 409, 425, 429)


class Service:
    """Every method raises TrainerError; permanent where the service refused, passing where it did not answer."""

    def __init__(self, site: Mapping[str, Any], secret: Mapping[str, str]) -> None:
        access = Access.bearer(secret["key"]) if secret.get("key") else Access()
        allow = bool(site.get("allow_private"))
        base = str(site["url"]).rstrip("/") + "/"
        self._client = open_client(allow_private=allow, timeout_s=CALL_S, base_url=base, access=access)

    def close(self) -> None:
        self._client.close()

    def upload(self, path: Path, name: str) -> Document:
        with path.open("rb") as rows:
            files = {"file": (name, rows, "application/jsonl")}
            return self._call("POST", "files", within_s=TRANSFER_S, data={"purpose": "fine-tune"}, files=files)

    def find_file(self, name: str) -> Document | None:
        return next((one for one in self._listed("files") if one.get("filename") == name), None)

    def remove_file(self, file_id: str) -> None:
        self._call("DELETE", f"files/{_plain(file_id)}")

    def create_job(self, wanted: Mapping[str, Any]) -> Document:
        return self._call("POST", "fine_tuning/jobs", json=dict(wanted))

    def find_job(self, name: str, value: str, but_not: Collection[str] = ()) -> Document | None:
        """The job whose metadata has this, the newest first."""
        for job in self._listed("fine_tuning/jobs"):
            if (job.get("metadata") or {}).get(name) == value and job.get("status") not in but_not:
                return job
        return None

    def job(self, job_id: str) -> Document:
        return self._call("GET", f"fine_tuning/jobs/{_plain(job_id)}")

    def cancel_job(self, job_id: str) -> Document:
        return self._call("POST", f"fine_tuning/jobs/{_plain(job_id)}/cancel")

    def events(self, job_id: str) -> list[Document]:
        """The latest; a service without events has none."""
        try:
            said = self._call("GET", f"fine_tuning/jobs/{_plain(job_id)}/events", params={"limit": 20})
        except TrainerError:
            return []
        return _objects(said.get("data"))

    def download(self, file_id: str, to: Path) -> None:
        """Written beside, synced and renamed: never half a file under the name."""
        part = to.with_name(f".{to.name}")
        more = {"deadline_s": TRANSFER_S, "longest_answer_bytes": LARGEST_RESULT}
        try:
            with self._client.stream("GET", f"files/{_plain(file_id)}/content", extensions=more) as answer:
                _check(answer.status_code, "")
                with part.open("wb") as file:
                    for chunk in answer.iter_bytes():
                        file.write(chunk)
                    os.fsync(file.fileno())
        except (httpx2.HTTPError, OutboundRefused) as fault:
            raise _unreachable(fault) from fault
        part.replace(to)

    def _listed(self, path: str) -> Iterator[Document]:
        after: dict[str, Any] = {}
        for _ in range(MOST_PAGES):
            said = self._call("GET", path, params={"limit": PAGE, **after})
            rows = _objects(said.get("data"))
            yield from rows
            if not said.get("has_more") or not rows:
                return
            after = {"after": rows[-1].get("id")}

    def _call(self, method: str, path: str, *, within_s: float = CALL_S, **body: Any) -> Document:
        try:
            answer = self._client.request(method, path, extensions={"deadline_s": within_s}, **body)
        except (httpx2.HTTPError, OutboundRefused) as fault:
            raise _unreachable(fault) from fault
        try:
            said = answer.json()
        except ValueError:
            said = None
        error = said.get("error") if isinstance(said, dict) else None
        _check(answer.status_code, str(error.get("message", "")) if isinstance(error, dict) else "")
        if not isinstance(said, dict):
            raise TrainerError("The service answers with something that is no JSON object.", permanent=False)
        return said


def _plain(identity: str) -> str:
    """An id may be part of a path only where it cannot lead to another one."""
    if not identity or len(identity) > 200 or not all(c.isalnum() or c in "-_:" for c in identity):
        raise TrainerError("The service gave an id that is none.", permanent=True)
    return identity


def _objects(found: Any) -> list[Document]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _check(status: int, said: str) -> None:
    if status in (401, 403):
        raise TrainerError("The service does not accept the key: enter it again, or another one.", permanent=True)
    if status >= 500 or status in PASSING:
        raise TrainerError(f"The service is busy or out of order (status {status}). {said[:300]}", permanent=False)
    if not 200 <= status < 300:
        raise TrainerError(f"The service refused (status {status}): {said[:300] or 'it said no more'}", permanent=True)


def _unreachable(fault: Exception) -> TrainerError:
    if isinstance(fault, OutboundRefused):
        return TrainerError(f"The service may not be called: {fault}", permanent=True)
    return TrainerError(f"The service does not answer: {reason_of(fault)}.", permanent=False)
