"""Judges a GGUF header before any byte goes to a host or to a native loader.

llama.cpp aborts the process on some malformed files, and one Ollama generation dies with every client's model in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pipelines.work.gguf_reader import ALIGNMENT, STRING, Array, GgufError, Header, padded, read_header

__all__ = ["ARCHITECTURES", "GgufError", "Header", "check", "read_header"]

MAX_TEMPLATE_BYTES = 2**20

# Those that both llama.cpp and the supported Ollama generations run as text models.
ARCHITECTURES = frozenset({
    "llama", "mistral3", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "gemma", "gemma2", "gemma3", "phi2", "phi3",
    "granite", "granitemoe", "olmo", "olmo2", "smollm3", "stablelm", "starcoder2", "falcon", "gpt2", "gptneox",
    "internlm2", "command-r", "cohere2", "deepseek2", "exaone", "exaone4", "glm4", "nemotron", "lfm2",
})  # fmt: skip


def check(path: Path, *, expect: Literal["model", "adapter"] = "model") -> Header:
    """Read the header and judge it: layout, required keys, ranges, vocabulary, architecture. Raises GgufError."""
    header = read_header(path)
    for rule in (_check_layout, _check_architecture, _check_template):
        rule(header)
    if (expect == "adapter") is not header.is_adapter:
        raise GgufError(f"The file is {'an adapter' if header.is_adapter else 'a model'}, {expect} was expected.")
    if expect == "model":
        _check_shape_keys(header)
        _check_vocabulary(header)
    else:
        _check_adapter(header)
    return header


def _check_layout(header: Header) -> None:
    """Offsets must be contiguous, data must be there, and nothing may follow it."""
    if header.metadata.get("general.alignment", ALIGNMENT) != ALIGNMENT:
        raise GgufError(
            f"The alignment is not {ALIGNMENT}: quantisers pad with {ALIGNMENT} and make such files unloadable."
        )
    if not header.tensors:
        raise GgufError("The file holds no tensors.")
    if len({tensor.name for tensor in header.tensors}) != len(header.tensors):
        raise GgufError("A tensor name stands twice.")
    expected = 0
    for tensor in header.tensors:
        if tensor.offset != expected:
            raise GgufError(f"The tensor {tensor.name!r} begins at {tensor.offset}, {expected} was expected.")
        expected = padded(tensor.offset + tensor.size_bytes)
    _check_end(header)


def _check_end(header: Header) -> None:
    last = header.tensors[-1]
    end = header.data_starts_at + last.offset + last.size_bytes
    if end > header.file_bytes:
        raise GgufError(f"The file is cut: its tensors need {end} bytes, it has {header.file_bytes}.")
    if header.file_bytes - end >= ALIGNMENT:
        raise GgufError(f"{header.file_bytes - end} unexplained bytes follow the last tensor.")


def _check_architecture(header: Header) -> None:
    if header.architecture not in ARCHITECTURES:
        raise GgufError(f"The architecture {header.architecture!r} is not on the list of those that hosts run.")


def _check_template(header: Header) -> None:
    if len(header.chat_template.encode()) > MAX_TEMPLATE_BYTES:
        raise GgufError(f"The chat template is larger than {MAX_TEMPLATE_BYTES} bytes.")


# Suffix of `<architecture>.` -> highest value. Scalars only: an array of head counts can stop an Ollama server.
_SHAPE_KEYS: dict[str, int] = {
    "block_count": 1_024,
    "context_length": 2**27,
    "embedding_length": 2**20,
    "attention.head_count": 4_096,
}


def _check_shape_keys(header: Header) -> None:
    for suffix, most in _SHAPE_KEYS.items():
        _whole_number(header, f"{header.architecture}.{suffix}", most)
    kv_heads = f"{header.architecture}.attention.head_count_kv"
    if kv_heads in header.metadata:
        _whole_number(header, kv_heads, _SHAPE_KEYS["attention.head_count"])


def _whole_number(header: Header, key: str, most: int) -> int:
    value = header.metadata.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        found = "an array" if isinstance(value, Array) else repr(value)
        raise GgufError(f"The metadata key {key} must be a number from 1 to {most}; found {found}.")
    return value


def _check_vocabulary(header: Header) -> None:
    tokens, embedding = header.vocabulary, {tensor.name: tensor for tensor in header.tensors}.get("token_embd.weight")
    if tokens is None or tokens.item_type != STRING or not isinstance(header.metadata.get("tokenizer.ggml.model"), str):
        raise GgufError("The file carries no tokenizer.")
    if embedding is None or len(embedding.shape) != 2:
        raise GgufError("The file has no token embedding table.")
    if embedding.shape[1] != tokens.count:
        raise GgufError(f"The vocabulary has {tokens.count} tokens, the embedding table {embedding.shape[1]} rows.")
    if embedding.shape[0] != header.metadata[f"{header.architecture}.embedding_length"]:
        raise GgufError("The embedding table is not as wide as the declared embedding length.")
    _check_token_arrays(header, tokens.count)
    _check_special_tokens(header, tokens.count)


def _check_token_arrays(header: Header, count: int) -> None:
    for key in ("tokenizer.ggml.scores", "tokenizer.ggml.token_type"):
        array = header.metadata.get(key)
        if array is not None and (not isinstance(array, Array) or array.count != count):
            raise GgufError(f"{key} does not have one entry per token.")


def _check_special_tokens(header: Header, count: int) -> None:
    for name in ("bos", "eos", "unknown", "padding", "eot"):
        value = header.metadata.get(f"tokenizer.ggml.{name}_token_id", 0)
        if not isinstance(value, int) or not 0 <= value < count:
            raise GgufError(f"The {name} token id {value!r} is outside the vocabulary of {count} tokens.")


def _check_adapter(header: Header) -> None:
    if header.metadata.get("adapter.type") != "lora" or not isinstance(
        header.metadata.get("adapter.lora.alpha"), float
    ):
        raise GgufError("The adapter is not a LoRA adapter with its alpha.")
    names = {tensor.name for tensor in header.tensors}
    stems = {name.rsplit(".lora_", 1)[0] for name in names}
    if any(f"{stem}.lora_{side}" not in names for stem in stems for side in "ab"):
        raise GgufError("The adapter has a tensor without its lora_a or lora_b partner.")
