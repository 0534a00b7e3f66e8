"""The check of the database role: the app's passes, the owner's and a superuser's do not."""

from agency import checks
from tests.installation import Installation, as_default


def test_the_apps_role_passes(on_postgres: Installation) -> None:
    assert checks.app_role(databases=["default"]) == []


def test_the_owner_is_refused(on_postgres: Installation) -> None:
    with as_default(on_postgres.owner_url):
        assert [message.id for message in checks.app_role(databases=["default"])] == ["retune.E006"]


def test_a_superuser_is_refused(on_postgres: Installation) -> None:
    with as_default(on_postgres.admin_url):
        assert [message.id for message in checks.app_role(databases=["default"])] == ["retune.E006"]
