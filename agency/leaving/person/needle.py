"""What is looked for, in every form in which a database or a file may hold it."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from django.db import models
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from agency.leaving.person.columns import FORM, PROSE, SHOWN, SPEAKS, TEXTS
from pipelines.domain.assignment import choose_key

LEAST, MOST = 3, 300
ERASED = "[erased]"
AT_ONCE = 500
# Not between two letters or digits; an underscore parts words, as in names of files.
BORDER = r"(?!(?<=[^\W_])[^\W_])"


@dataclass(frozen=True)
class Needle:
    """A name, an address, a number: matched anywhere inside a text, whatever the case of its letters.

    An accent may be a character of its own or part of its letter's (NFD, NFC): both are the same name.
    `is_whole`: it begins and ends where words do.
    """

    text: str
    is_whole: bool = False

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """JSON may escape what is not ASCII; SQLite folds the case of ASCII only."""
        escaped = {json.dumps(form, ensure_ascii=ascii_)[1:-1] for form in self.cases for ascii_ in (True, False)}
        return tuple(sorted(self.cases | escaped))

    @property
    def cases(self) -> set[str]:
        cases = (self.text, self.text.lower(), self.text.upper(), self.text.title())
        return {unicodedata.normalize(form, case) for case in cases for form in ("NFC", "NFD")}

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """How traffic keeps a conversation, session or user of this name."""
        found = []
        for said in self.cases:
            found += [choose_key(said, None, None, ""), choose_key(None, said, None, "")]
            found.append(choose_key(None, None, said, ""))
        return tuple(key.value for key in found)

    def is_in(self, text: str) -> bool:
        folded = unicodedata.normalize("NFC", text).casefold()
        forms = (form.casefold() for form in self.forms)
        if self.is_whole:
            return any(re.search(f"{BORDER}{re.escape(form)}{BORDER}", folded) for form in forms)
        return any(form in folded for form in forms)

    def told_in(self, row: models.Model) -> Iterator[str]:
        """The columns that are looked at in the row and hold it."""
        return (name for name in columns(type(row)) if self._for(row, name).is_told(getattr(row, name)))

    def _for(self, row: models.Model, name: str) -> Needle:
        """As it is looked for in that column."""
        return replace(self, is_whole=name in SPEAKS.get(row._meta.db_table, ()))

    def is_told(self, value: Any) -> bool:
        """Whether what somebody says in a text or JSON holds it; a text may be JSON too."""
        match value:
            case bool() | None:
                return False
            case str():
                return value not in FORM and self.is_in(value) and self._is_told_inside(value)
            case dict():
                return any(self.is_told(key) or self.is_told(inner) for key, inner in value.items())
            case list():
                return any(self.is_told(inner) for inner in value)
        return self.is_in(str(value))

    def _is_told_inside(self, text: str) -> bool:
        """Of a text that is JSON whether it is more than its form that holds it."""
        if not text.lstrip().startswith(("{", "[")):
            return True
        try:
            return self.is_told(json.loads(text))
        except (ValueError, RecursionError):
            return True

    def without(self, value: Any, *, is_prose: bool = False) -> Any:
        """The program's JSON with every text replaced that holds it, whole: what stands beside a name tells of it too.

        `is_prose`: the value stands under such a key.
        """
        match value:
            case str():
                return ERASED if is_prose and self.is_in(value) else value
            case dict():
                return {key: self.without(inner, is_prose=key in PROSE) for key, inner in value.items()}
            case list():
                return [self.without(inner, is_prose=is_prose) for inner in value]
        return value

    def scrubbed(self, row: models.Model) -> dict[str, Any]:
        """The columns of a row that lose it, as they are afterwards."""
        found = {name: (getattr(row, name), self._left(row, name)) for name in texts(type(row))}
        return {name: after for name, (before, after) in found.items() if after != before}

    def _left(self, row: models.Model, name: str) -> Any:
        field: Any = row._meta.get_field(name)
        value, needle = getattr(row, name), self._for(row, name)
        if isinstance(field, models.JSONField):
            return needle.without(value)
        # One that must stay apart from its neighbours keeps its number.
        return f"{ERASED} {row.pk}"[: field.max_length] if needle.is_in(value) else value

    def tells(self, row: models.Model) -> bool:
        """Whether anything that is looked at in the row holds it."""
        return any(self.told_in(row))

    def rows(self, model: type[models.Model], client_id: int, holds: Callable[[Any], Any]) -> Any:
        """Of the client, those of which `holds` is true; the database proposes them by the columns looked at."""
        rows = model._default_manager.filter(client_id=client_id).order_by("pk")
        held = [row.pk for row in _in_chunks(self._proposed(rows, columns(model))) if holds(row)]
        return rows.filter(pk__in=held)

    def _proposed(self, rows: Any, names: tuple[str, ...]) -> Any:
        wanted = Q()
        for name in names:
            rows = rows.alias(**{f"{name}_as_text": Cast(name, TextField())})
            for form in self.forms:
                wanted |= Q(**{f"{name}_as_text__icontains": form})
        return rows.filter(wanted) if wanted else rows.none()


def _in_chunks(rows: Any) -> Iterator[Any]:
    """By number: a server-side cursor would outlive the transaction that carries the scope."""
    last = 0
    while chunk := list(rows.filter(pk__gt=last)[:AT_ONCE]):
        yield from chunk
        last = chunk[-1].pk


def texts(model: type[models.Model]) -> tuple[str, ...]:
    return TEXTS.get(model._meta.db_table, ())


def columns(model: type[models.Model]) -> tuple[str, ...]:
    """Those in which people are looked for; those from which they are erased first."""
    return texts(model) + SHOWN.get(model._meta.db_table, ())
