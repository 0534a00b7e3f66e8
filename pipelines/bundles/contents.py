"""What stands in a bundle's JSON files: nothing that names code, and an adapter's settings by known keys only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.bundles.names import BundleRefused

LARGEST_JSON = 128 * 2**20
# Each makes a loader import something that came with the model, or fetch it.
NAMES_CODE = ("auto_map", "custom_pipelines", "trust_remote_code")
# Keys of a vocabulary are words of a language, "auto_map" may be one.
VOCABULARIES = ("tokenizer.json", "vocab.json", "added_tokens.json")
ADAPTER_KEYS = (
    "peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "target_modules", "bias", "fan_in_fan_out",
    "use_rslora", "rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern",
)  # fmt: skip


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that names no code, at any depth."""
    if path.stat().st_size > LARGEST_JSON:
        raise BundleRefused(f"{path.name} is larger than {LARGEST_JSON} bytes, which no such file is.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as fault:
        raise BundleRefused(f"{path.name} is not JSON ({fault}). Pack it anew.") from fault
    if not isinstance(found, dict):
        raise BundleRefused(f"{path.name} is not a JSON object.")
    for key in _keys(found) if path.name not in VOCABULARIES else ():
        if key in NAMES_CODE:
            raise BundleRefused(f"{path.name} has {key}: the model wants code of its own, which is never run here.")
    return found


def _keys(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case dict() as found:
                yield from found
                waiting.extend(found.values())
            case list() as found:
                waiting.extend(found)


def clean_adapter(path: Path) -> None:
    """Writes adapter_config.json anew, of what a plain LoRA needs; refuses what is more than that."""
    given = read_json(path)
    if given.get("peft_type") != "LORA" or given.get("use_dora"):
        kind = given.get("peft_type")
        raise BundleRefused(f"{path.name}: {kind!r} is no plain LoRA. Merge it and bring the merged folder.")
    if given.get("modules_to_save") or given.get("bias", "none") != "none" or given.get("trainable_token_indices"):
        raise BundleRefused(
            f"{path.name}: the adapter trains whole modules too. Merge it, and bring the merged folder."
        )
    targets = given.get("target_modules")
    if not isinstance(targets, list) or not all(isinstance(one, str) for one in targets):
        raise BundleRefused(f"{path.name}: target_modules must be a list of names.")
    kept = {name: given[name] for name in ADAPTER_KEYS if given.get(name) is not None}
    path.write_text(json.dumps(kept | {"task_type": "CAUSAL_LM", "inference_mode": True}, indent=1))


def check_index(path: Path, there: set[str]) -> None:
    """The index of weights names files of the bundle."""
    named = read_json(path).get("weight_map")
    files = set(named.values()) if isinstance(named, dict) and all(isinstance(v, str) for v in named.values()) else None
    if not files or not files <= there:
        missing = ", ".join(sorted(files - there)[:3]) if files else "no file"
        raise BundleRefused(f"{path.name} names {missing}, which is not in the bundle. Pack all of the weights.")
