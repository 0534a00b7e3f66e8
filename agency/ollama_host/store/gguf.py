"""Reads a GGUF header the way a host does, down to the texts of its refusals."""

import struct
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from agency.ollama_host.wire import PLAIN_JSON, Refused

STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
MAX_STRING, MAX_ARRAY, MAX_DIMS = 16 << 20, 64 << 20, 4
MOST_A_CAN_HOLD = 1 << 36  # A reserves what a length says before it reads: past the machine's memory its process ends
KEPT_ITEMS = 64  # longer arrays (the vocabulary) are walked over, not kept
# tensor type -> (name, values per block, bytes per block)
TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4),
    27: ("I64", 1, 8), 28: ("F64", 1, 8), 30: ("BF16", 1, 2),
}  # fmt: skip
FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 32: "BF16",
}  # fmt: skip


class Generation(StrEnum):
    """A: 0.5.5-0.24, B: 0.30-0.34.0, C: 0.34.1 and later: three incompatible behaviours of real hosts."""

    A = "A"
    B = "B"
    C = "C"


class ServerEnds(Exception):
    """What this file does to a real server of generation A: the process ends, and every client's model with it."""


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """Keys and tensors of a file; arrays over KEPT_ITEMS are None."""

    keys: dict[str, Any]
    tensors: tuple[Tensor, ...]

    @property
    def architecture(self) -> str:
        return str(self.keys.get("general.architecture", "unknown"))

    @property
    def kind(self) -> str:
        kind = self.keys.get("general.type", "model")
        return {"adapter": "adapter", "mmproj": "projector", "projector": "projector"}.get(kind, "model")

    @property
    def file_type(self) -> str:
        return FILE_TYPES.get(self.keys.get("general.file_type", -1), "unknown")

    @property
    def parameters(self) -> int:
        return sum(prod(tensor.shape) for tensor in self.tensors)

    def of_architecture(self, key: str) -> Any:
        return self.keys.get(f"{self.architecture}.{key}")

    @property
    def chat_template(self) -> str:
        return str(self.keys.get("tokenizer.chat_template", ""))


def read(path: Path, generation: Generation) -> Header:
    """The header of a file, cached by path, size and time; raises Refused with a host's status and text."""
    stat = path.stat()
    return _read(path, stat.st_size, stat.st_mtime_ns, generation)


@lru_cache(maxsize=64)
def _read(path: Path, size: int, _mtime_ns: int, generation: Generation) -> Header:
    with path.open("rb") as file:
        return _Reader(file, size, generation).header()


def refuse(text: str, status: int = 500) -> Refused:
    return Refused(status, text, PLAIN_JSON)


class _Reader:
    def __init__(self, file: BinaryIO, size: int, generation: Generation) -> None:
        self.file, self.size, self.generation = file, size, generation
        self.order, self.version = "<", 3

    def header(self) -> Header:
        magic = self.file.read(4)
        if magic not in (b"GGUF", b"FUGG"):
            raise refuse("supplied file was not in GGUF format", 400)
        self.order = "<" if magic == b"GGUF" else ">"
        self.version = self.number("I")
        count = "I" if self.version == 1 else "Q"
        tensor_count, key_count = self.number(count), self.number(count)
        keys = dict(self.pair() for _ in range(key_count))
        infos = [self.tensor() for _ in range(tensor_count)]
        self.check_extents(infos, keys.get("general.alignment", 32))
        return Header(keys, tuple(tensor for tensor, _, _ in infos))

    def take(self, count: int) -> bytes:
        data = self.file.read(count)
        if len(data) < count:
            raise refuse("unexpected EOF" if data else "EOF")
        return data

    def number(self, code: str) -> Any:
        return struct.unpack(self.order + code, self.take(struct.calcsize(code)))[0]

    def string(self) -> str:
        length = self.number("Q")
        self.check_string(length)
        data = self.file.read(length)
        if len(data) < length:
            raise refuse("unexpected EOF")
        if self.version == 1:
            if self.generation is not Generation.A and not data.endswith(b"\0"):
                raise refuse("invalid GGUF v1 string terminator")
            data = data[:-1]
        return data.decode("utf-8", "replace")

    def check_string(self, length: int) -> None:
        if self.generation is not Generation.A and length > MAX_STRING:
            raise refuse(f"GGUF string length {length} exceeds maximum {MAX_STRING}")
        if length > MOST_A_CAN_HOLD:
            raise ServerEnds(f"panic: runtime error: makeslice: len out of range ({length})")

    def pair(self) -> tuple[str, Any]:
        key = self.string()
        return key, self.value(self.number("I"))

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            return self.array()
        if kind not in SCALARS:
            raise refuse(f"invalid type: {kind}")
        return self.number(SCALARS[kind])

    def array(self) -> list[Any] | None:
        kind, count = self.number("I"), self.number("Q")
        if count > MAX_ARRAY and self.generation is not Generation.A:
            raise refuse(f"GGUF array length {count} exceeds maximum {MAX_ARRAY}")
        if kind in SCALARS and count > KEPT_ITEMS:
            self.file.seek(count * struct.calcsize(SCALARS[kind]), 1)
            return None
        values = [self.value(kind) for _ in range(count)]
        return values if count <= KEPT_ITEMS else None

    def tensor(self) -> tuple[Tensor, int, int]:
        name = self._named("name", self.string)
        dims = self._named("dimensions", lambda: self.number("I"))
        if dims > MAX_DIMS and self.generation is not Generation.A:
            raise refuse(f"GGUF tensor dimensions {dims} exceeds maximum {MAX_DIMS}")
        shape = self._named("shape", lambda: tuple(self.number("Q") for _ in range(dims)))
        kind, offset = self.number("I"), self.number("Q")
        type_name, block, block_bytes = TYPES.get(kind, (f"unknown type {kind}", 1, 0))
        return Tensor(name, type_name, shape), offset, prod(shape) // block * block_bytes

    def _named(self, part: str, read_part: Any) -> Any:
        try:
            return read_part()
        except Refused as fault:
            raise refuse(f"failed to read tensor {part}: {fault.text}") from None

    def check_extents(self, infos: list[tuple[Tensor, int, int]], alignment: int) -> None:
        start = self.file.tell() + -self.file.tell() % (alignment or 32)
        for tensor, offset, size in infos:
            if start + offset + size > self.size:
                text = f'tensor "{tensor.name}" offset+size ({start + offset + size}) exceeds file size ({self.size})'
                raise refuse(text)


def human_count(count: int) -> str:
    for unit, size, digits in (("B", 10**9, 1), ("M", 10**6, 2), ("K", 10**3, 2)):
        if count >= size:
            return f"{count / size:.{digits}f}{unit}"
    return str(count)
