"""The product from outside: its REST API with a client's key, its pages as a signed-in person."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import httpx2

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
FINAL = {"succeeded", "skipped", "stopped", "rejected", "rolled_back", "failed", "cancelled"}
RUN_TIMEOUT_S = 3600.0


class DemoFailed(RuntimeError):
    """The product did something else than the act expects."""


class Api:
    """The REST API, for one client's pipeline."""

    def __init__(self, base_url: str, key: str, pipeline: str) -> None:
        self.http = httpx2.Client(
            base_url=f"{base_url}/rest/v1", headers={"Authorization": f"Bearer {key}"}, timeout=60
        )
        self.pipeline = pipeline

    def get(self, path: str) -> Any:
        return _checked(self.http.get(path))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return _checked(self.http.post(path, json=body))

    def add_examples(self, rows: bytes, token: str) -> dict[str, Any]:
        headers = {"Idempotency-Key": token, "Content-Type": "application/x-ndjson"}
        return _checked(self.http.post(f"/pipelines/{self.pipeline}/examples", content=rows, headers=headers))

    def start_run(self, reason: str) -> int:
        return int(self.post(f"/pipelines/{self.pipeline}/runs", {"reason": reason})["number"])

    def run(self, number: int) -> dict[str, Any]:
        return self.get(f"/pipelines/{self.pipeline}/runs/{number}")

    def rollbacks(self) -> list[dict[str, Any]]:
        return self.get("/rollbacks")["items"]

    def follow(
        self, number: int, until: Callable[[dict[str, Any]], bool], see: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Reads the run every half second, shows it to `see`, and gives it back once `until` holds or it has ended."""
        deadline = time.monotonic() + RUN_TIMEOUT_S
        while time.monotonic() < deadline:
            run = self.run(number)
            see(run)
            if until(run) or run["status"] in FINAL:
                return run
            time.sleep(0.5)
        raise DemoFailed(f"run {number} of {self.pipeline} did not get on within an hour")


def _checked(response: httpx2.Response) -> Any:
    if response.is_success:
        return response.json()
    raise DemoFailed(
        f"{response.request.method} {response.request.url.path}: {response.status_code} {response.text[:300]}"
    )


class Person:
    """Somebody of the agency, signed in by the login page."""

    def __init__(self, base_url: str, email: str, password: str) -> None:
        self.http = httpx2.Client(base_url=base_url, timeout=60, follow_redirects=True, headers={"Referer": base_url})
        self._send("/login/", {"login": email, "password": password})

    def approve(self, client: str, pipeline: str, number: int, reason: str) -> None:
        self._send(f"/c/{client}/{pipeline}/runs/{number}/approve/", {"reason": reason})

    def _send(self, path: str, fields: dict[str, str]) -> None:
        page = self.http.get(path)
        token = TOKEN.search(page.text)
        if token is None:
            raise DemoFailed(f"{path}: {page.status_code}, no form")
        answer = self.http.post(path, data=fields | {"csrfmiddlewaretoken": token.group(1)})
        if not answer.is_success:
            raise DemoFailed(f"{path}: {answer.status_code}")
