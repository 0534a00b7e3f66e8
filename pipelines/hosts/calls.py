"""One request to an Ollama server, and what its refusals mean: down, to be tried again, or a person's to mend."""

import re
from typing import Any

import httpx2

from pipelines.hosts.errors import HostDown, HostRefused
from pipelines.outbound import Access, OutboundRefused
from pipelines.outbound.client import CONNECT_TIMEOUT_S, open_client, reason_of

NO_SPACE = re.compile(r"no space left|disk full|ENOSPC", re.IGNORECASE)


class Calls:
    def __init__(
        self,
        url: str,
        access: Access | None = None,
        timeout_s: float = 10.0,
        allow_private: bool = False,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """`transport`: another way to the host than a connection from here."""
        self.url, self.timeout_s = url.rstrip("/"), timeout_s
        self.client = open_client(
            allow_private=allow_private,
            timeout_s=timeout_s,
            base_url=self.url,
            access=access or Access(),
            transport=transport,
        )

    def _patience(self, step_s: float, total_s: float) -> dict[str, Any]:
        """A caller's patience with a slow host is not patience with an absent one."""
        timeout = httpx2.Timeout(step_s, connect=min(self.timeout_s, CONNECT_TIMEOUT_S))
        return {"timeout": timeout, "extensions": {"deadline_s": total_s}}

    def close(self) -> None:
        self.client.close()

    def _ask(self, method: str, path: str, body: Any = None, read_s: float | None = None) -> dict[str, Any]:
        return self._document(self._send(method, path, body, read_s), f"{method} {path}")

    def _send(self, method: str, path: str, body: Any = None, read_s: float | None = None) -> httpx2.Response:
        patience = self._patience(read_s or self.timeout_s, read_s or self.timeout_s)
        return self._checked(self.client.build_request(method, path, json=body, **patience))

    def _checked(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = self.client.send(request)
        except httpx2.HTTPError as fault:
            raise HostDown(f"{self.url} does not answer ({reason_of(fault)}): it will be tried again") from fault
        except OutboundRefused as refused:
            raise HostRefused(str(refused)) from refused
        if response.is_redirect:
            raise HostRefused(f"{self.url} sends requests elsewhere: enter the address that it leads to")
        return response

    def _rows(self, path: str) -> list[dict[str, Any]]:
        rows = self._ask("GET", path).get("models") or []
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and {"name", "digest"} <= set(row) for row in rows
        ):
            raise self._not_a_host()
        return rows

    def _document(self, response: httpx2.Response, doing: str) -> dict[str, Any]:
        if response.status_code != 200:
            raise self._refusal(response, doing)
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._not_a_host()
        return found

    def _not_a_host(self) -> HostRefused:
        return HostRefused(f"{self.url} does not speak as an Ollama host does: is the address right?")

    def _refusal(self, response: httpx2.Response, doing: str) -> HostDown | HostRefused:
        status, text = response.status_code, error_of(response)
        if status in (408, 429, 499, 502, 503, 504):
            return HostDown(f"{self.url} is busy ({status} {text}): it will be tried again")
        if status in (401, 403):
            return HostRefused(f"{self.url} refuses us ({status}): check its headers, allowed origins and Host rule")
        if NO_SPACE.search(text):
            return HostRefused(f"{self.url} has no space left: free at least three times the model's size on it")
        return HostRefused(f"{self.url} refused {doing} ({status} {text}): see the host's log")


def error_of(response: httpx2.Response) -> str:
    """What an Ollama host says of itself. Text of anything else is not passed on: nobody reads other servers by us."""
    try:
        found = response.json()
    except ValueError:
        return ""
    return str(found.get("error", ""))[:2000] if isinstance(found, dict) else ""
