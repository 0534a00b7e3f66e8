"""Inference options: their types, defaults and how a request's override a model's."""

import json
from typing import Any

from agency.ollama_host.wire import Refused

INTEGERS = (
    "num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "num_keep", "seed", "num_predict", "top_k",
    "repeat_last_n",
)  # fmt: skip
FLOATS = (
    "top_p", "min_p", "typical_p", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty",
)  # fmt: skip
LAUNCH = ("num_batch", "num_gpu", "main_gpu", "num_thread")  # beside num_ctx, what a runner is started with
DEFAULTS: dict[str, Any] = {
    "num_ctx": 4096, "num_predict": -1, "seed": -1, "temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.0,
    "typical_p": 1.0, "repeat_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "stop": [],
}  # fmt: skip


def merged(baked: dict[str, Any], asked: Any) -> dict[str, Any]:
    """Defaults, then the model's parameters, then the request's options. A wrong type is a 500, an unknown name
    is ignored: both as real hosts do."""
    if asked is not None and not isinstance(asked, dict):
        kind = "map[string]interface {}"
        raise Refused(400, f"json: cannot unmarshal string into Go struct field .options of type {kind}")
    found = dict(DEFAULTS)
    for name, value in {**baked, **(asked or {})}.items():
        if value is not None:
            found |= _typed(name, value)
    return found


def _typed(name: str, value: Any) -> dict[str, Any]:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name in INTEGERS:
        return {name: int(value) if is_number else _refuse(name, "integer")}
    if name in FLOATS:
        return {name: float(value) if is_number else _refuse(name, "float32")}
    if name == "stop":
        return {name: _stops(value)}
    if name == "use_mmap" and not isinstance(value, bool):
        _refuse(name, "boolean")
    return {}


def _stops(value: Any) -> list[str]:
    if not isinstance(value, list):
        _refuse("stop", "array")
    if not all(isinstance(stop, str) for stop in value):
        _refuse("stop", "array of strings")
    return list(value)


def _refuse(name: str, kind: str) -> Any:
    raise Refused(500, f'option "{name}" must be of type {kind}')


def check_format(form: Any) -> None:
    """`format` is "json" or a JSON Schema object; None and "" mean free text."""
    if form in (None, "", "json") or isinstance(form, dict):
        return
    text = json.dumps(json.dumps(form))
    raise Refused(500, f'invalid format: {text}; expected "json" or a valid JSON Schema object')
