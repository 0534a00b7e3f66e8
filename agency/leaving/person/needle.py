"""What is looked for, in every form in which a database or a file may hold it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db import models
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from pipelines.domain.assignment import choose_key

LEAST, MOST = 3, 300
ERASED = "[erased]"
TEXTS = (models.CharField, models.TextField, models.JSONField)


@dataclass(frozen=True)
class Needle:
    """A name, an address, a number: matched anywhere inside a text, whatever the case of its letters."""

    text: str

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """JSON may escape what is not ASCII; SQLite folds the case of ASCII only."""
        escaped = {json.dumps(form, ensure_ascii=ascii_)[1:-1] for form in self.cases for ascii_ in (True, False)}
        return tuple(sorted(self.cases | escaped))

    @property
    def cases(self) -> set[str]:
        return {self.text, self.text.lower(), self.text.upper(), self.text.title()}

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """How traffic keeps a conversation, session or user of this name."""
        found = []
        for said in self.cases:
            found += [choose_key(said, None, None, ""), choose_key(None, said, None, "")]
            found.append(choose_key(None, None, said, ""))
        return tuple(key.value for key in found)

    def is_in(self, text: str) -> bool:
        folded = text.casefold()
        return any(form.casefold() in folded for form in self.forms)

    def without(self, value: Any) -> Any:
        """The value with every text replaced that holds it, whole: what stands beside a name tells of it too."""
        match value:
            case str():
                return ERASED if self.is_in(value) else value
            case dict():
                return {self.without(key): self.without(inner) for key, inner in value.items()}
            case list():
                return [self.without(inner) for inner in value]
        return value

    def rows(self, model: type[models.Model], client_id: int) -> Any:
        """Of the client, those that hold it in any column of text."""
        rows = model._default_manager.filter(client_id=client_id)
        wanted = Q()
        for column in columns(model):
            rows = rows.alias(**{f"{column}_as_text": Cast(column, TextField())})
            for form in self.forms:
                wanted |= Q(**{f"{column}_as_text__icontains": form})
        return rows.filter(wanted).order_by("pk") if wanted else rows.none()


def columns(model: type[models.Model]) -> list[str]:
    """Columns in which people can be named; digests and what has a fixed set of values cannot."""
    return [
        field.attname
        for field in model._meta.local_fields
        if isinstance(field, TEXTS) and not field.choices and "digest" not in field.attname
    ]
