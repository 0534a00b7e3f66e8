"""Messages to prompt text, by a Go template or by the GGUF's own Jinja template."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from agency.ollama_host.runner import gotemplate

Chat = Sequence[dict[str, Any]]
PLAIN = "{{ .Prompt }}"
NO_TEMPLATE_A_JINJA_HOST_KNOWS = (
    "{% for message in messages %}{{ message.content }}{% if not loop.last %}\n\n{% endif %}{% endfor %}"
)


class RenderFault(ValueError):
    """The template refused these messages; the text is its own."""


def render_go(source: str, messages: Chat) -> str:
    """`.Messages` templates get the whole list; older ones are run once per user/assistant turn."""
    template = gotemplate.parse(source)
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    if template.mentions("Messages"):
        rows = [{"Role": m["role"], "Content": m["content"]} for m in messages]
        return template.render({"Messages": rows, "System": system})
    if not template.mentions("Response"):
        template = gotemplate.parse(source + "{{ .Response }}")
    return "".join(template.render(turn) for turn in _turns(messages))


def _turns(messages: Chat) -> list[dict[str, str]]:
    turns: list[dict[str, str]] = [{}]
    for message in messages:
        field = {"system": "System", "user": "Prompt"}.get(message["role"], "Response")
        if field in turns[-1] or (field != "Response" and "Response" in turns[-1]):
            turns.append({})
        turns[-1][field] = message["content"]
    return turns


def render_jinja(source: str, messages: Chat, bos: str, eos: str) -> str:
    """The template as transformers' `apply_chat_template` runs it, with add_generation_prompt. Raises RenderFault."""
    try:
        template = _environment().from_string(source or NO_TEMPLATE_A_JINJA_HOST_KNOWS)
        return template.render(messages=messages, bos_token=bos, eos_token=eos, add_generation_prompt=True)
    except TemplateError as fault:
        raise RenderFault(str(fault)) from fault


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _raise, "strftime_now": lambda layout: datetime.now().strftime(layout)}
    return environment


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(text: str) -> None:
    raise TemplateError(text)
