"""Chat templates: the guard comment, and rendering as transformers and llama-server do it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.exceptions import TemplateRuntimeError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipelines.work.report import WorkError

Messages = Sequence[Mapping[str, Any]]

# Asked of every template, by whoever renders it.
SAMPLES: tuple[Messages, ...] = (
    [{"role": "user", "content": "Where is my order? It was due on 3 May, 10:30."}],
    [{"role": "user", "content": 'Línea uno\n\n  línea dos: "¿qué?" <b>&amp;</b> {"a": 1}'}],
)

# Ollama swaps a template for a known one within 100 edits of it. A comment of this many characters that no known
# template holds puts every template out of reach, and a comment renders to nothing.
GUARD = "{#" + "\u00a7" * 128 + "#}"


def guarded(template: str) -> str:
    """The template with the guard at its end; a template that has it is returned as it is."""
    return template if template.endswith(GUARD) else template + GUARD


def render(template: str, messages: Messages, *, bos: str = "", eos: str = "", answer: bool = True) -> str:
    """The prompt text; `answer` opens the assistant's turn. WorkError (permanent) if it cannot render."""
    try:
        return _compiled(template).render(
            messages=[dict(message) for message in messages], bos_token=bos, eos_token=eos, add_generation_prompt=answer
        )
    except TemplateError as problem:
        raise WorkError(f"The chat template does not render: {problem}.", permanent=True) from problem


@lru_cache(maxsize=8)
def _compiled(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _strftime_now
    return environment.from_string(template)


def _to_json(value: Any, indent: int | None = None) -> str:
    """Plain JSON: Jinja's own filter escapes for HTML, which no model was trained on."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> None:
    raise TemplateRuntimeError(message)


def _strftime_now(layout: str) -> str:
    return datetime.now().strftime(layout)
