"""Guards over the code itself. They find what they guard by walking it, so that something new is guarded at once."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from importlib import import_module
from inspect import get_annotations
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db.models import Model

from pipelines.domain.transitions import JobStatus, RolloutStatus, RunStatus, Status, allowed, is_final
from tenants.models.owned import Owned, ScopedManager

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("agency", "pipelines", "tenants")

GLOBAL_MODELS = {
    "tenants.User": "an account; what it may see follows from memberships",
    "tenants.Agency": "the root of everything owned; a name and a slug",
    "auth.Permission": "Django's, unused: roles are in tenants/access.py",
    "auth.Group": "Django's, unused: roles are in tenants/access.py",
    "contenttypes.ContentType": "Django's register of models",
    "sessions.Session": "opaque, found by its secret key",
    "account.EmailAddress": "django-allauth's addresses of an account",
    "account.EmailConfirmation": "django-allauth's, unused: addresses are proven by invitations",
    "mfa.Authenticator": "django-allauth's second factors and passkeys of an account",
    "usersessions.UserSession": "django-allauth's list of an account's sessions",
    "django_q.OrmQ": "messages: a task's name and ids",
    "django_q.Task": "messages that were taken: a task's name and ids",
    "django_q.Success": "a view of Task",
    "django_q.Failure": "a view of Task",
    "django_q.Schedule": "unused: the ticker reads due rows",
}
RAW_SQL = ("tenants/crossing.py", "tenants/postgresql/")
# Who may open a connection by itself, and why it is not one to an address that a tenant named.
OPENERS = {
    "agency/health/looks.py": "asks the installation's own Redis whether it answers",
    "pipelines/outbound/": "the door",
    "agency/gateway/upstream.py": "the gateway's session; its sockets come from the door",
    "agency/gateway/routes/orders.py": "a socket file of this machine",
    "agency/ollama_host/": "listens; asks its own children on the loopback",
    "agency/agent/": "a program elsewhere: asks the one Ollama that whoever started it gave",
    "agency/api/client/base.py": "runs at whoever calls this installation's API, never here",
    "agency/demo/": "the demo's own installation on the loopback, from outside",
    "pipelines/worker/link.py": "a program elsewhere: asks the one address that whoever started it gave",
    "pipelines/notifiers/email.py": "the installation's mail server",
}
CALLERS = {
    "httpx2": {"Client", "AsyncClient", "HTTPTransport", "request", "stream", "get", "post", "put", "head", "delete"},
    "aiohttp": {"ClientSession", "TCPConnector", "request"},
    "socket": {"socket", "create_connection", "socketpair"},
    "asyncio": {"open_connection", "open_unix_connection"},
    "loop": {"create_connection"},
    "smtplib": {"SMTP", "SMTP_SSL"},
    "redis": {"Redis", "from_url"},
}
# Whole modules that do nothing else.
CALLING_MODULES = {"urllib.request", "urllib3", "requests", "http.client", "ftplib", "telnetlib", "httpx", "smtplib"}
CATCH_ALL = {
    "pipelines/engine/kernel.py": "an exception of a stage becomes Retry",
    "pipelines/engine/heartbeat.py": "a beat that is lost ends no work: the lease decides",
    "pipelines/engine/jobs.py": "an exception of a job becomes its error",
    "pipelines/machines/claims.py": "an errand that cannot be written is its job's error",
    "pipelines/work/__main__.py": "the child's door: the parent hears of every failure",
    "pipelines/worker/program.py": "a job's failure is told to headquarters and ends no machine's program",
    "agency/ollama_host/runner/__main__.py": "the child's door: the parent hears of every failure",
    "agency/agent/hands.py": "whatever breaks one call, the next one is taken",
    "agency/agent/serving.py": "whatever breaks one greeting, the next one is said",
    "agency/agent/spool.py": "whatever breaks one sending, the records stay for the next one",
    "agency/gateway/meter/bodies.py": "an installation's own redactor: what cannot be redacted is not kept",
    "agency/gateway/routes/follower.py": "a client whose routes cannot be read keeps its last, and stops nobody else's",
    "agency/health/looks.py": "what cannot be looked at is a finding",
    "agency/health/beside.py": "one bad tick, or one bad sweep, does not end the ticker or a worker",
}


def sources() -> list[Path]:
    found = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return [path for path in found if "migrations" not in path.parts]


def nodes(kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """(path, node) of every node of a kind in the product's code."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, kind):
                yield str(path.relative_to(ROOT)), node


def registries() -> Iterator[tuple[str, str, str]]:
    """(path, name, target) of every entry `name: "module:object"` of a dict literal."""
    target = re.compile(r"(agency|pipelines|tenants)(\.\w+)+:\w+")
    for path, node in nodes(ast.Dict):
        assert isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(value, ast.Constant) and isinstance(value.value, str) and target.fullmatch(value.value):
                yield path, str(getattr(key, "value", key)), value.value


REGISTRIES = list(registries())


@pytest.mark.parametrize("model", apps.get_models(include_auto_created=False), ids=lambda model: model._meta.label)
def test_a_model_is_owned_or_global_for_a_stated_reason(model: type[Model]) -> None:
    assert issubclass(model, Owned) != bool(GLOBAL_MODELS.get(model._meta.label))


@pytest.mark.parametrize("model", [m for m in apps.get_models() if issubclass(m, Owned)], ids=lambda m: m._meta.label)
def test_an_owned_model_is_scoped_by_both_of_its_managers(model: type[Model]) -> None:
    assert isinstance(model._default_manager, ScopedManager)
    assert isinstance(model._base_manager, ScopedManager)


def test_the_registries_are_found() -> None:
    assert {path for path, *_ in REGISTRIES} >= {
        "pipelines/engine/dispatch.py",
        "pipelines/hosts/__init__.py",
        "pipelines/imports/__init__.py",
        "pipelines/metrics/__init__.py",
        "pipelines/notifiers/__init__.py",
        "pipelines/trainers/__init__.py",
        "pipelines/work/__init__.py",
    }


@pytest.mark.parametrize(("path", "name", "target"), REGISTRIES, ids=lambda value: str(value).rpartition(":")[2])
def test_a_registered_name_loads_and_fits_its_protocol(path: str, name: str, target: str) -> None:
    module, _, attribute = target.partition(":")

    thing = getattr(import_module(module), attribute)

    protocols = list(protocols_of(path))
    assert callable(thing) if not protocols else any(fits(thing, protocol) for protocol in protocols)


def protocols_of(path: str) -> Iterator[type]:
    """The protocols that stand beside a registry."""
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for thing in vars(import_module(name)).values():
        if getattr(thing, "_is_protocol", False) and thing.__module__ == name:
            yield thing


def fits(thing: object, protocol: type) -> bool:
    """Whether an object, or the instances of a class, have every public member of a protocol."""
    wanted = {name for name in [*vars(protocol), *get_annotations(protocol)] if not name.startswith("_")}
    kind = thing if isinstance(thing, type) else type(thing)
    declared = {name for base in kind.__mro__ for name in get_annotations(base)}
    return all(hasattr(thing, name) or name in declared for name in wanted)


@pytest.mark.parametrize("status", [*RunStatus, *RolloutStatus, *JobStatus], ids=repr)
def test_every_status_reaches_an_end(status: Status) -> None:
    seen, open_ends = {status}, [status]
    while open_ends:
        following = allowed(open_ends.pop()) - seen
        seen |= following
        open_ends += following

    assert any(is_final(reached) for reached in seen)


def test_raw_sql_stands_in_one_place() -> None:
    calls = [(path, node.lineno) for path, node in nodes(ast.Call) if _called(node) in ("cursor", "raw", "extra")]
    names = [(path, node.lineno) for path, node in nodes(ast.Name) if node.id in ("RawSQL", "RunSQL")]

    assert [place for place in calls + names if not place[0].startswith(RAW_SQL)] == []


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def test_code_of_a_model_folder_is_never_trusted() -> None:
    given = [(path, node) for path, node in nodes(ast.keyword) if node.arg == "trust_remote_code"]

    assert given, "the guard no longer finds the calls that it guards"
    assert [
        path for path, node in given if not (isinstance(node.value, ast.Constant) and node.value.value is False)
    ] == []


def test_nobody_calls_out_but_through_the_door() -> None:
    calls = [(path, f"{_owner(node)}.{node.attr}") for path, node in nodes(ast.Attribute) if _is_a_call_out(node)]
    taken = [(path, str(node.module)) for path, node in nodes(ast.ImportFrom) if node.module in CALLERS]
    whole = [
        (path, name)
        for kind in (ast.Import, ast.ImportFrom)
        for path, node in nodes(kind)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        if name in CALLING_MODULES
    ]

    found = {place for place in calls + taken + whole if place[0].startswith(tuple(OPENERS))}
    assert {path for path, _ in found} >= {"pipelines/outbound/client.py", "agency/gateway/upstream.py"}
    assert sorted(set(calls + taken + whole) - found) == []


def _owner(node: ast.Attribute) -> str:
    return node.value.id if isinstance(node.value, ast.Name) else ""


def _is_a_call_out(node: ast.Attribute) -> bool:
    return node.attr in CALLERS.get(_owner(node), ())


def test_the_gateways_session_takes_its_sockets_from_the_door() -> None:
    source = (ROOT / "agency/gateway/upstream.py").read_text()

    assert source.count("TCPConnector(") == source.count("socket_factory=judged_sockets(") == 1


def test_everything_is_caught_only_where_a_reason_is_stated() -> None:
    found = {path for path, node in nodes(ast.ExceptHandler) if _catches_all(node) and not _raises_again(node)}

    assert found <= set(CATCH_ALL)


def _catches_all(node: ast.ExceptHandler) -> bool:
    return node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))


def _raises_again(node: ast.ExceptHandler) -> bool:
    last = node.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_every_module_says_what_it_is() -> None:
    trees = {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sources()}

    assert [path for path, tree in trees.items() if tree.body and not ast.get_docstring(tree)] == []


def test_djangos_admin_is_not_installed() -> None:
    imported = [path for path, node in nodes(ast.ImportFrom) if (node.module or "").startswith("django.contrib.admin")]

    assert imported == []
    assert "django.contrib.admin" not in settings.INSTALLED_APPS


def vendored() -> list[Path]:
    return sorted(path for top in ("static", "tests", *ROOMS) for path in (ROOT / top).rglob("vendor") if path.is_dir())


@pytest.mark.parametrize("folder", vendored(), ids=lambda folder: str(folder.relative_to(ROOT)))
def test_vendored_files_are_the_ones_that_were_looked_at(folder: Path) -> None:
    lines = (folder / "SHA256SUMS").read_text().split("\n")
    listed = {
        name.strip(" *").removeprefix("./"): digest
        for digest, _, name in (line.partition(" ") for line in lines if line)
    }
    present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"SHA256SUMS"}

    assert present - {"README.md"} <= set(listed)
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
