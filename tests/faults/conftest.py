"""Real workers of both engines, as the tests of the engines start them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engines.processes import Workers, embedded, production
from tests.installation import as_default


@pytest.fixture(params=["q2", "celery"])
def workers_with(request: pytest.FixtureRequest, transactional_db: None, tmp_path: Path):
    """Starts the workers of one engine with more environment: `with workers_with(NAME=value) as workers:`."""

    @contextmanager
    def start(**more: str) -> Iterator[Workers]:
        if request.param == "q2":
            with embedded(tmp_path, **more) as workers:
                yield workers
            return
        installation, url = request.getfixturevalue("installation"), request.getfixturevalue("redis_server")
        with as_default(installation.app_url):
            try:
                with production(tmp_path, installation, url, **more) as workers:
                    yield workers
            finally:
                installation.empty()

    return start
