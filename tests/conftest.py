"""Fixtures of every test: servers that are thrown away, the people of two agencies, a clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db.models import CharField
from django.test import Client as Browser
from django.test import TransactionTestCase

from tenants import scope
from tenants.models import Agency, Client, Role
from tests import factories, migrated, servers
from tests.environment import VAR
from tests.installation import Installation, as_default, install
from tools.setup_system import find

DATABASE = VAR / "tests.sqlite3"


@dataclass
class Clock:
    """A clock that only the test moves."""

    now: datetime = factories.NOW

    def advance(self, **by: float) -> datetime:
        """Keywords of timedelta; gives the new time."""
        self.now += timedelta(**by)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """A file and not memory: worker processes and live servers must see the same rows."""
    from django.conf import settings

    settings.DATABASES["default"]["TEST"]["NAME"] = str(DATABASE)


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_use_migrations: bool) -> bool:
    """A copy of what the same migrations made before, where there is one: they take ten seconds, it takes one."""
    return django_db_use_migrations and migrated.take(DATABASE)


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_use_migrations: bool, request: pytest.FixtureRequest
) -> Iterator[None]:
    """With --on-postgres `db` and all that stands on it is PostgreSQL, as the app's role."""
    if django_db_use_migrations:
        migrated.keep(DATABASE)
    if not request.config.getoption("on_postgres"):
        yield
        return
    made: Installation = request.getfixturevalue("installation")
    with pytest.MonkeyPatch.context() as patch, as_default(made.app_url):
        for name, value in made.environment.items():
            patch.setenv(name, value)  # For the processes that a test starts.
        # Django's flush truncates, which the app's role may not.
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _case: made.empty())
        yield


@pytest.fixture(autouse=True)
def own_settings(settings: Any, tmp_path: Path) -> None:
    """Artifacts, scratch and mail of one test are nobody else's; passwords hash in microseconds."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": plain}  # The manifest is made by collectstatic.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.ARTIFACTS = tmp_path / "artifacts"
    settings.SCRATCH = tmp_path / "scratch"
    settings.EMAIL_FILE_PATH = tmp_path / "mail"
    cache.clear()  # Rate limits of one test are nobody else's.


@pytest.fixture(autouse=True, scope="session")
def lengths_are_kept() -> Iterator[None]:
    """SQLite stores any text in any column; what PostgreSQL would refuse must not pass here either."""
    prepared = CharField.get_db_prep_save

    def fitting(field: CharField[Any, Any], value: Any, connection: Any) -> Any:
        too_long = isinstance(value, str) and field.max_length is not None and len(value) > field.max_length
        assert not too_long, f"{field} has room for {field.max_length} characters: {value}"
        return prepared(field, value, connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CharField, "get_db_prep_save", fitting)
        yield


@pytest.fixture(autouse=True)
def no_scope_left_behind() -> Iterator[None]:
    with scope.entered(None):
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.PostgresServer]:
    with servers.postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def installation(postgres: servers.PostgresServer) -> Installation:
    """A migrated PostgreSQL installation; its `environment` is for worker processes."""
    return install(postgres)


@pytest.fixture
def on_postgres(installation: Installation, django_db_blocker: Any) -> Iterator[Installation]:
    """Django's default database is PostgreSQL, as the app's role, real commits included; emptied afterwards.

    Ask for it instead of `db`, and make rows by the factories (fixtures such as `agency` sit on SQLite).
    """
    with django_db_blocker.unblock(), as_default(installation.app_url):
        yield installation
    installation.empty()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a throw-away Redis."""
    with servers.redis_process() as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser's program, for playwright's `executable_path`."""
    return find("chromium")


@pytest.fixture
def agency(db: None) -> Agency:
    return factories.make_agency("north")


@pytest.fixture
def other_agency(db: None) -> Agency:
    return factories.make_agency("south")


@pytest.fixture
def acorn(agency: Agency) -> Client:
    """The client that most tests are about."""
    return factories.make_client(agency, "acorn")


@pytest.fixture
def birch(agency: Agency) -> Client:
    """Another client of the same agency."""
    return factories.make_client(agency, "birch")


@pytest.fixture
def cedar(other_agency: Agency) -> Client:
    """A client of the other agency."""
    return factories.make_client(other_agency, "cedar")


@pytest.fixture
def in_acorn(acorn: Client) -> Iterator[Client]:
    """The rest of the test runs inside acorn's scope."""
    with scope.client_scope(acorn.pk, acorn.agency_id):
        yield acorn


def _signed_in(agency: Agency, role: Role, client: Client | None = None, email: str = "") -> Browser:
    browser = Browser()
    browser.force_login(factories.make_member(agency, role, client, email or f"{role}@{agency.slug}.example"))
    return browser


@pytest.fixture
def owner(agency: Agency) -> Browser:
    return _signed_in(agency, Role.OWNER)


@pytest.fixture
def engineer(agency: Agency) -> Browser:
    return _signed_in(agency, Role.ENGINEER)


@pytest.fixture
def viewer(agency: Agency) -> Browser:
    return _signed_in(agency, Role.VIEWER)


@pytest.fixture
def reader(acorn: Client) -> Browser:
    """One of acorn's own people: read-only."""
    return _signed_in(acorn.agency, Role.READER, acorn)


@pytest.fixture
def sibling(birch: Client) -> Browser:
    """A reader of another client of the same agency."""
    return _signed_in(birch.agency, Role.READER, birch, "sibling@birch.example")


@pytest.fixture
def stranger(cedar: Client) -> Browser:
    """The owner of another agency."""
    return _signed_in(cedar.agency, Role.OWNER)


@pytest.fixture
def anonymous() -> Browser:
    return Browser()
