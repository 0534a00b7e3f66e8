"""The catalogue of what clients read: finds its texts, keeps them in locale/LANGUAGE, compiles it.

`python tools/translations.py` writes; with `--check` it only says what is missing, untranslated or not compiled.
"""

from __future__ import annotations

import ast
import io
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ("es",)
BEGUN = datetime(2026, 11, 21, tzinfo=UTC)
HEADER = "# What clients read. Kept by tools/translations.py: edit the msgstr lines, run it, commit both files."
# What a client's reader meets: the report, letters and mails to clients, signing in, the account, errors.
PLACES = (
    "templates/reports",
    "templates/frame.html",
    "templates/forms",
    "templates/portal/_paging.html",
    "templates/errors",
    "templates/403_csrf.html",
    "templates/registration/login.html",
    "templates/registration/invitation.html",
    "templates/account",
    "templates/mfa",
    "templates/usersessions",
    "templates/mail/letter.html",
    "templates/mail/leave.html",
    "agency/portal/views/telling/leaving.py",
    "templates/mail/account.html",
    "templates/mail/account.txt",
    "templates/mail/invitation.html",
    "templates/mail/invitation.txt",
    "agency/mail/invitation.py",
    "agency/mail/letter.py",
    "agency/accounts",
    "agency/portal/views/invitation.py",
    "pipelines/reports/client",
    "agency/reports/pages.py",
    "agency/reports/shared.py",
    "agency/portal/views/errors.py",
    "agency/templatetags/reports.py",
)
# Of a table that staff read too, only what clients meet; and texts that stand on both sides.
WORDS: tuple[str, ...] = ("well", "no model yet", "production", "passed", "rejected", "inconclusive", "not measured")
WORDS += ("succeeded", "skipped", "stopped")
WORDS += ("rolled back", "failed", "cancelled", "queued", "running", "waiting", "needs you")
WORDS += ("better", "worse", "other words", "flaky", "%(s)s s", "owner", "engineer", "viewer", "reader", "active")
WORDS += ("Your name", "Clients see it where you approve.", "At least 12 characters.", "Main", "Decision")
WORDS += ("Nobody invites to a role above their own.",)
WORDS += ("The server's disk has no room for this. Whoever runs the server frees some; then do it again.",)
WORDS += ("This invitation was used, closed or is too old. Ask for a new one.", "This person is a member here already.")
WORDS += ("This invitation is made out to another address. Sign in with that one.",)
CALLS = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "trans"}
Text = str | tuple[str, str]
CALL = re.compile(r"gettext\(|_\(")


def texts() -> dict[Text, None]:
    """Every text of the places, in order; a pair is singular and plural."""
    found: dict[Text, None] = {}
    for place in PLACES:
        path = ROOT / place
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in (".py", ".html", ".txt"))
        for file in files:
            source = file.read_text()
            found |= dict.fromkeys(in_python(source) if file.suffix == ".py" else in_template(source))
    return found | dict.fromkeys(WORDS)


def in_python(source: str) -> Iterator[Text]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in CALLS:
            said = [arg.value for arg in node.args[:2] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            if len(said) == 2:
                yield said[0], said[1]
            elif said:
                yield said[0]


TAG = re.compile(r"""\{%\s*trans\s+(?:"([^"]*)"|'([^']*)')""")
BLOCK = re.compile(r"\{%\s*blocktrans[^%]*%\}(.*?)\{%\s*endblocktrans\s*%\}", re.DOTALL)


def in_template(source: str) -> Iterator[Text]:
    """`trans` and `blocktrans` as Django names them: {{ n }} is %(n)s, and a bare % is doubled there."""
    for one, other in TAG.findall(source):
        yield (one or other).replace("%", "%%") if "%" in (one or other) else one or other
    for body in BLOCK.findall(source):
        yield re.sub(r"\{\{\s*(\w+)\s*\}\}", r"%(\1)s", body.replace("%", "%%"))


def catalogue(language: str) -> Path:
    return ROOT / "locale" / language / "LC_MESSAGES" / "django.po"


def read(language: str) -> Catalog:
    path = catalogue(language)
    return read_po(io.BytesIO(path.read_bytes()), locale=language) if path.exists() else Catalog(locale=language)


def faults(language: str) -> list[str]:
    """What is missing, empty or left over in the catalogue, and whether the compiled file is another one."""
    known, wanted = read(language), {key(text) for text in texts()}
    entries = {key(message.id): message for message in known if message.id}
    said = [f"not in the catalogue: {text}" for text in sorted(wanted - entries.keys())]
    said += [f"left over: {text}" for text in sorted(entries.keys() - wanted)]
    said += [f"not translated: {name}" for name, message in entries.items() if not all(strings(message.string))]
    compiled = catalogue(language).with_suffix(".mo")
    if not compiled.exists() or facts(read_mo(io.BytesIO(compiled.read_bytes()))) != facts(known):
        said.append(f"{compiled.relative_to(ROOT)} is not what the catalogue says: run tools/translations.py")
    return said


def key(text: object) -> str:
    return text[0] if isinstance(text, tuple | list) else str(text)


def strings(value: object) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (str(value or ""),)


def facts(known: Catalog) -> dict[str, tuple[str, ...]]:
    return {key(message.id): strings(message.string) for message in known if message.id}


def write(language: str) -> None:
    """Keeps what is translated, adds what is new, drops what is gone, compiles."""
    old = {key(message.id): message.string for message in read(language) if message.id}
    made = Catalog(language, None, HEADER, "Retune", "1", fuzzy=False, charset="utf-8")
    made.msgid_bugs_address = made.last_translator = made.language_team = "-"
    made.creation_date = made.revision_date = BEGUN  # No line that changes with every run.
    for text in texts():
        string = old.get(key(text), ("", "") if isinstance(text, tuple) else "")
        made.add(text, string=string, flags=["python-format"] if "%(" in key(text) else [])
    path = catalogue(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, made, width=110, omit_header=False, ignore_obsolete=True)
    with path.with_suffix(".mo").open("wb") as file:
        write_mo(file, made)


def main() -> int:
    os.chdir(ROOT)
    if "--check" not in sys.argv:
        for language in LANGUAGES:
            write(language)
    said = [f"{language}: {fault}" for language in LANGUAGES for fault in faults(language)]
    print(*said, sep="\n", end="\n" if said else "")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
