"""Reads a GGUF header without trusting it: bounded, sequential, never more bytes than the file has left."""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_KEYS = 4_096
MAX_TENSORS = 65_536
MAX_KEY_BYTES = 65_536
MAX_STRING_BYTES = 16 * 2**20
MAX_ARRAY_ITEMS = 64 * 2**20
MAX_TENSOR_NAME_BYTES = 63
MAX_ELEMENTS = 2**48
KEPT_ARRAY_ITEMS = 64
CHUNK_BYTES = 65_536  # a multiple of every item width
ALIGNMENT = 32

# Tensor type id -> (elements in a block, bytes of a block). What Retune ships; other ids are refused.
TENSOR_TYPES: dict[int, tuple[int, int]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 30: (1, 2),
}  # fmt: skip
TENSOR_TYPE_NAMES: dict[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K",
    11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 30: "BF16",
}  # fmt: skip
FILE_TYPES: dict[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 32: "BF16",
}  # fmt: skip

_SCALARS: dict[int, str] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
STRING, _ARRAY = 8, 9

Scalar = int | float | bool | str


class GgufError(ValueError):
    """A file that is not a GGUF that can be shipped; the sentence says what is wrong. Always permanent."""

    permanent = True


@dataclass(frozen=True)
class Array:
    """An array of the header: its count, the first items, and a digest of all of them (strings with their lengths)."""

    item_type: int
    count: int
    head: tuple[Scalar, ...]
    digest: str


@dataclass(frozen=True)
class Tensor:
    """A tensor's entry; `shape` has the row length first, `size_bytes` is without padding."""

    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int
    elements: int
    size_bytes: int


@dataclass(frozen=True)
class Header:
    """The header of a GGUF file, read whole; `data_starts_at` is the byte where tensor data begins."""

    version: int
    metadata: dict[str, Scalar | Array]
    tensors: tuple[Tensor, ...]
    data_starts_at: int
    file_bytes: int

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def is_adapter(self) -> bool:
        return self.metadata.get("general.type") == "adapter"

    @property
    def file_type(self) -> str:
        value = self.metadata.get("general.file_type")
        return FILE_TYPES.get(value, f"type {value}") if isinstance(value, int) else "unknown"

    @property
    def parameter_count(self) -> int:
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def chat_template(self) -> str:
        return str(self.metadata.get("tokenizer.chat_template", ""))

    @property
    def template_digest(self) -> str:
        return hashlib.sha256(self.chat_template.encode()).hexdigest()

    @property
    def vocabulary(self) -> Array | None:
        tokens = self.metadata.get("tokenizer.ggml.tokens")
        return tokens if isinstance(tokens, Array) else None

    @property
    def tensor_types(self) -> dict[str, int]:
        """How many tensors there are of each type: tells where a K-quant fell back on narrow rows."""
        names = [TENSOR_TYPE_NAMES[tensor.type_id] for tensor in self.tensors]
        return {name: names.count(name) for name in sorted(set(names))}


class _Reader:
    """A file read front to back; a size taken from the file is compared with what is left before a byte is read."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    @property
    def position(self) -> int:
        return self._file.tell()

    def take(self, count: int, what: str) -> bytes:
        if count > self._size - self._file.tell():
            raise GgufError(f"The file ends inside {what}: {count} bytes were declared, fewer are there.")
        return self._file.read(count)

    def number(self, layout: str, what: str) -> int:
        value: int = struct.unpack(layout, self.take(struct.calcsize(layout), what))[0]
        return value

    def count(self, most: int, what: str) -> int:
        value = self.number("<Q", what)
        if value > most:
            raise GgufError(f"The header declares {value} {what}; at most {most} are accepted.")
        return value

    def text(self, most: int, what: str) -> str:
        raw = self.take(self.count(most, f"bytes of {what}"), what)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as problem:
            raise GgufError(f"{what.capitalize()} is not valid UTF-8.") from problem


def read_header(path: Path) -> Header:
    """Parse the header of the file at `path`. Raises GgufError on anything malformed; never reads tensor data."""
    size = os.stat(path).st_size
    with path.open("rb") as file:
        reader = _Reader(file, size)
        version, n_tensors, n_keys = _preamble(reader)
        metadata = _metadata(reader, n_keys)
        tensors = tuple(_tensor(reader) for _ in range(n_tensors))
        data_starts_at = padded(reader.position)
    return Header(version, metadata, tensors, data_starts_at, size)


def _preamble(reader: _Reader) -> tuple[int, int, int]:
    magic = reader.take(4, "the magic number")
    if magic != b"GGUF":
        hint = " (its bytes are reversed: a big-endian file)" if magic == b"FUGG" else ""
        raise GgufError(f"The file does not begin with GGUF{hint}.")
    version = reader.number("<I", "the version")
    if version not in (2, 3):
        raise GgufError(f"GGUF version {version} is not supported: 2 and 3 are.")
    return version, reader.count(MAX_TENSORS, "tensors"), reader.count(MAX_KEYS, "metadata keys")


def _metadata(reader: _Reader, count: int) -> dict[str, Scalar | Array]:
    metadata: dict[str, Scalar | Array] = {}
    for _ in range(count):
        key = reader.text(MAX_KEY_BYTES, "a metadata key")
        if not key or key in metadata:
            raise GgufError(f"The metadata key {key!r} is empty or stands twice.")
        type_id = reader.number("<I", f"the type of {key}")
        metadata[key] = _array(reader, key) if type_id == _ARRAY else _value(reader, type_id, key)
    return metadata


def _value(reader: _Reader, type_id: int, key: str) -> Scalar:
    if type_id == STRING:
        return reader.text(MAX_STRING_BYTES, f"the value of {key}")
    if type_id not in _SCALARS:
        raise GgufError(f"The metadata key {key!r} has the unknown type {type_id}.")
    return reader.number(_SCALARS[type_id], f"the value of {key}")


def _array(reader: _Reader, key: str) -> Array:
    item_type = reader.number("<I", f"the item type of {key}")
    count = reader.count(MAX_ARRAY_ITEMS, f"items of {key}")
    if item_type != STRING and item_type not in _SCALARS:
        raise GgufError(f"The array {key!r} has items of type {item_type}, which is not supported.")
    read = _string_items if item_type == STRING else _scalar_items
    return read(reader, item_type, count, key)


def _string_items(reader: _Reader, item_type: int, count: int, key: str) -> Array:
    digest, head = hashlib.sha256(), []
    for index in range(count):
        size = reader.count(MAX_STRING_BYTES, f"bytes of an item of {key}")
        raw = reader.take(size, f"an item of {key}")
        digest.update(struct.pack("<Q", size) + raw)
        if index < KEPT_ARRAY_ITEMS:
            head.append(raw.decode("utf-8", "replace"))
    return Array(item_type, count, tuple(head), digest.hexdigest())


def _scalar_items(reader: _Reader, item_type: int, count: int, key: str) -> Array:
    layout = _SCALARS[item_type]
    width = struct.calcsize(layout)
    digest, first, left = hashlib.sha256(), b"", count * width
    while left:
        raw = reader.take(min(left, CHUNK_BYTES), f"the items of {key}")
        digest.update(raw)
        first = first or raw
        left -= len(raw)
    head = tuple(item[0] for item in struct.iter_unpack(layout, first[: KEPT_ARRAY_ITEMS * width]))
    return Array(item_type, count, head, digest.hexdigest())


def _tensor(reader: _Reader) -> Tensor:
    name = reader.text(MAX_TENSOR_NAME_BYTES, "a tensor name")
    n_dims = reader.number("<I", f"the dimensions of {name}")
    if not 1 <= n_dims <= 4:
        raise GgufError(f"The tensor {name!r} has {n_dims} dimensions; 1 to 4 are accepted.")
    shape = tuple(reader.number("<Q", f"the shape of {name}") for _ in range(n_dims))
    type_id = reader.number("<I", f"the type of {name}")
    elements, size = _tensor_size(name, shape, type_id)
    return Tensor(name, shape, type_id, reader.number("<Q", f"the offset of {name}"), elements, size)


def _tensor_size(name: str, shape: tuple[int, ...], type_id: int) -> tuple[int, int]:
    if type_id not in TENSOR_TYPES:
        raise GgufError(f"The tensor {name!r} has the unsupported type {type_id}.")
    elements = 1
    for width in shape:
        elements *= width
        if not 0 < width < MAX_ELEMENTS or elements >= MAX_ELEMENTS:
            raise GgufError(f"The tensor {name!r} has the impossible shape {shape}.")
    block, block_bytes = TENSOR_TYPES[type_id]
    if shape[0] % block:
        raise GgufError(f"The rows of tensor {name!r} ({shape[0]} wide) do not fill blocks of {block}.")
    return elements, elements // block * block_bytes


def padded(position: int) -> int:
    return -(-position // ALIGNMENT) * ALIGNMENT
