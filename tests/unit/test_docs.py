"""Documents name what exists: settings, environment, registries, commands, addresses; and their links resolve."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from agency.api import api
from agency.api.errors import CODES
from agency.gateway.meter.redaction import REDACTIONS
from agency.mail.kinds import MAIL_KINDS
from agency.management import commands
from pipelines.domain.transitions import JobStatus, RolloutStatus, RunStatus
from pipelines.engine.dispatch import ENGINES
from pipelines.hosts import HOSTS
from pipelines.imports import READERS
from pipelines.metrics import METRICS
from pipelines.models import ExampleState
from pipelines.notifiers import NOTIFIERS, POSTERS
from pipelines.plan import JOBS
from pipelines.trainers import TRAINERS
from pipelines.work import KINDS
from tenants.access import KEY_VERBS
from tenants.pipeline_settings import STAGES, PipelineSettings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "NOTICE.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
README_LINES = 150
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
OURS = re.compile(r"(RETUNE|DATABASE|REDIS|DEMO)_[A-Z_]+[A-Z]")
TOLD_ELSEWHERE = {"DJANGO_SETTINGS_MODULE"}
REGISTERED = [*REDACTIONS, *TRAINERS, *METRICS, *HOSTS, *READERS, *NOTIFIERS, *ENGINES, *KINDS, *JOBS, *MAIL_KINDS]
REGISTERED += POSTERS
STATUSES = [status.value for kind in (RunStatus, RolloutStatus, JobStatus, ExampleState) for status in kind]
COMMANDS = [path.stem for path in Path(commands.__path__[0]).glob("*.py") if not path.stem.startswith("_")]
TARGETS = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


def words(name: str) -> set[str]:
    """Every word between backticks of docs/reference/<name>."""
    text = (ROOT / "docs" / "reference" / name).read_text()
    return {word for code in CODE.findall(text) for word in [code, *code.split()]}


def settings_of(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Dotted paths of all values; the items of a list stand under the list's own name."""
    for name, field in model.model_fields.items():
        here, part = f"{path}{name}", part_of(field.annotation)
        if part is None:
            yield here
        else:
            yield from settings_of(part, f"{here}.")


def part_of(annotation: object) -> type[BaseModel] | None:
    """The model inside `Model`, `Model | None` or `tuple[Model, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (part_of(argument) for argument in getattr(annotation, "__args__", ()))
    return next((found for found in inner if found), None)


def variables() -> set[str]:
    """Names of our environment in the product's code, wherever they stand; and whatever else it reads directly."""
    found: set[str] = set()
    for room in ("agency", "pipelines", "tenants"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                found |= {name for name in named_by(node) if not name.endswith("_FILE")}
    return found - TOLD_ELSEWHERE


def named_by(node: ast.AST) -> set[str]:
    match node:
        case ast.Constant(value=str(text)) if OURS.fullmatch(text):
            return {text}
        case ast.Call(
            func=ast.Attribute(value=ast.Attribute(attr="environ"), attr="get"), args=[ast.Constant(value=name), *_]
        ):
            return {str(name)}
    return set()


def addresses() -> list[str]:
    return [f"{method.upper()} {path}" for path, item in api.get_openapi_schema()["paths"].items() for method in item]


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def links() -> list[tuple[Path, str]]:
    found = [(page, target) for page in PAGES for target in LINK.findall(page.read_text())]
    return [(page, target) for page, target in found if "://" not in target]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_there_are_links_to_check() -> None:
    assert len(links()) > 20


@pytest.mark.parametrize(("page", "target"), links(), ids=lambda value: getattr(value, "name", value))
def test_a_relative_link_resolves(page: Path, target: str) -> None:
    name, _, anchor = target.partition("#")
    aim = (page.parent / name).resolve() if name else page

    assert aim.exists()
    assert not anchor or anchor in anchors(aim)


@pytest.mark.parametrize("path", sorted(settings_of(PipelineSettings)))
def test_a_setting_of_a_pipeline_is_described(path: str) -> None:
    assert path in words("settings.md")


def test_the_environment_is_found_where_it_is_read() -> None:
    assert variables() >= {
        "RETUNE_VAR",
        "DATABASE_ADMIN_URL",
        "RETUNE_GATEWAY_NAME",
        "RETUNE_CONVERTER_DIR",
        "DEMO_SERVE",
    }


def test_every_environment_variable_is_described() -> None:
    assert variables() - {word.partition("=")[0] for word in words("settings.md")} == set()


@pytest.mark.parametrize("name", sorted(set(REGISTERED)))
def test_a_registered_name_has_a_line(name: str) -> None:
    assert name in words("registries.md")


def test_every_variable_that_docker_compose_reads_is_described() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    read = set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", text)) | set(re.findall(r"\b(COMPOSE_[A-Z_]+)=", text))
    assert "RETUNE_JOB_QUEUES" in read and read - words("settings.md") == set()


def test_the_readme_links_every_page_of_the_reference() -> None:
    linked = set(LINK.findall((ROOT / "README.md").read_text()))
    pages = {f"docs/reference/{page.name}" for page in PAGES if page.parent.name == "reference"}
    assert pages and pages - linked == set()


def test_every_command_is_described() -> None:
    assert [name for name in [*COMMANDS, *TARGETS] if name not in words("commands.md")] == []


def test_every_operation_of_the_api_is_described() -> None:
    assert [address for address in addresses() if address not in words("api.md")] == []


def test_every_code_of_a_refusal_is_described() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    assert [status for status, code in CODES.items() if f"| {status} | `{code}` |" not in page] == []


def test_every_verb_of_a_key_is_described() -> None:
    assert [verb for verb in KEY_VERBS if verb not in words("api.md")] == []


def test_every_status_is_described() -> None:
    assert [status for status in STATUSES if status not in words("states.md")] == []


def test_the_seven_stages_are_called_by_their_names() -> None:
    places = [ROOT / "README.md", ROOT / "docs" / "reference" / "states.md", ROOT / "docs" / "picture.svg"]

    missing = {place.name: [s for s in STAGES if not re.search(rf"\b{s}\b", place.read_text())] for place in places}

    assert not any(missing.values()), missing


def test_the_security_page_names_tests_that_there_are() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs/reference/security.md").read_text())
    assert len(named) > 50
    missing = [f"{path}::{name}" for path, name in named if f"def {name}(" not in _source(path)]
    assert missing == []


def test_the_security_page_names_the_cipher_of_secrets_at_rest() -> None:
    page, code = (ROOT / path for path in ("docs/reference/security.md", "tenants/crypto/sealing.py"))
    cipher = "AES-128-CBC with HMAC-SHA256"
    assert "Fernet" in code.read_text() and cipher in code.read_text() and cipher in page.read_text()


def _source(path: str) -> str:
    """With `def (`, so that a file named without a test counts as there."""
    file = ROOT / path
    return f"{file.read_text()}\ndef (" if file.is_file() else ""
