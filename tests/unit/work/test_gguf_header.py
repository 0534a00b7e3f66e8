"""The GGUF header check against a table of damaged files."""

import struct
from dataclasses import dataclass, field

import pytest

from pipelines.work.gguf_header import GgufError, check, read_header

STRING, UINT32, FLOAT32, ARRAY = 8, 4, 6, 9
TOKENS = [b"<s>", b"</s>", b"a", b"b"]


def text(raw: bytes) -> bytes:
    return struct.pack("<Q", len(raw)) + raw


def string(raw: bytes) -> bytes:
    return struct.pack("<I", STRING) + text(raw)


def uint(value: int) -> bytes:
    return struct.pack("<II", UINT32, value)


def strings(items: list[bytes]) -> bytes:
    return struct.pack("<IIQ", ARRAY, STRING, len(items)) + b"".join(map(text, items))


@dataclass
class File:
    """A small whole GGUF file, part by part, so that each part can be damaged alone."""

    magic: bytes = b"GGUF"
    version: int = 3
    n_tensors: int | None = None
    n_keys: int | None = None
    keys: dict[bytes, bytes] = field(
        default_factory=lambda: {
            b"general.architecture": string(b"llama"),
            b"llama.block_count": uint(1),
            b"llama.context_length": uint(64),
            b"llama.embedding_length": uint(32),
            b"llama.attention.head_count": uint(2),
            b"general.file_type": uint(1),
            b"tokenizer.ggml.model": string(b"llama"),
            b"tokenizer.ggml.tokens": strings(TOKENS),
            b"tokenizer.ggml.eos_token_id": uint(1),
            b"tokenizer.chat_template": string(b"{{ messages }}"),
        }
    )
    tensors: list[tuple[bytes, tuple[int, ...], int, int]] = field(
        default_factory=lambda: [(b"token_embd.weight", (32, 4), 1, 0), (b"output_norm.weight", (32,), 0, 256)]
    )
    data: bytes = bytes(384)
    after: bytes = b""

    def write(self, path):
        n_tensors = len(self.tensors) if self.n_tensors is None else self.n_tensors
        n_keys = len(self.keys) if self.n_keys is None else self.n_keys
        head = self.magic + struct.pack("<IQQ", self.version, n_tensors, n_keys)
        head += b"".join(text(key) + value for key, value in self.keys.items())
        for name, shape, type_id, offset in self.tensors:
            head += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
            head += struct.pack("<IQ", type_id, offset)
        path.write_bytes(head + bytes(-len(head) % 32) + self.data + self.after)
        return path


def with_key(key: bytes, value: bytes | None) -> File:
    file = File()
    if value is None:
        del file.keys[key]
    else:
        file.keys[key] = value
    return file


def with_tensor(index: int, tensor) -> File:
    file = File()
    file.tensors[index] = tensor
    return file


HOSTILE = {
    "reversed magic": (File(magic=b"FUGG"), "does not begin with GGUF"),
    "version 1": (File(version=1), "version 1 is not supported"),
    "version 4": (File(version=4), "version 4 is not supported"),
    "2^62 tensors": (File(n_tensors=2**62), "tensors; at most"),
    "2^62 keys": (File(n_keys=2**62), "metadata keys; at most"),
    "more keys than there are": (File(n_keys=4_000), "ends inside|bytes of a metadata key|unknown type"),
    "a string of 2^40 bytes": (
        with_key(b"general.name", struct.pack("<IQ", STRING, 2**40)),
        "bytes of the value of general.name",
    ),
    "a string longer than the file": (
        with_key(b"general.name", struct.pack("<IQ", STRING, 2**23)),
        "The file ends inside the value of general.name",
    ),
    "an array longer than the file": (
        with_key(b"x", struct.pack("<IIQ", ARRAY, UINT32, 2**25)),
        "The file ends inside the items of x",
    ),
    "an array of 2^40 items": (with_key(b"x", struct.pack("<IIQ", ARRAY, UINT32, 2**40)), "items of x; at most"),
    "an array of arrays": (with_key(b"x", struct.pack("<IIQ", ARRAY, ARRAY, 1)), "not supported"),
    "an unknown value type": (with_key(b"x", struct.pack("<I", 77)), "unknown type 77"),
    "an empty key": (with_key(b"", uint(1)), "is empty"),
    "a key that is no text": (with_key(b"\xff\xfe", uint(1)), "not valid UTF-8"),
    "another alignment": (with_key(b"general.alignment", uint(64)), "alignment is not 32"),
    "an unlisted architecture": (with_key(b"general.architecture", string(b"evil")), "not on the list"),
    "no architecture": (with_key(b"general.architecture", None), "not on the list"),
    "no layers": (with_key(b"llama.block_count", uint(0)), "from 1 to 1024; found 0"),
    "heads as an array": (
        with_key(b"llama.attention.head_count", struct.pack("<IIQI", ARRAY, UINT32, 1, 2)),
        "found an array",
    ),
    "kv heads as an array": (
        with_key(b"llama.attention.head_count_kv", struct.pack("<IIQ", ARRAY, UINT32, 0)),
        "head_count_kv must be a number",
    ),
    "a float for a count": (with_key(b"llama.context_length", struct.pack("<If", FLOAT32, 64.0)), "must be a number"),
    "no tokenizer": (with_key(b"tokenizer.ggml.tokens", None), "carries no tokenizer"),
    "fewer tokens than rows": (with_key(b"tokenizer.ggml.tokens", strings(TOKENS[:3])), "3 tokens, .* 4 rows"),
    "an end token outside": (with_key(b"tokenizer.ggml.eos_token_id", uint(4)), "eos token id 4 is outside"),
    "scores of another length": (
        with_key(b"tokenizer.ggml.scores", struct.pack("<IIQf", ARRAY, FLOAT32, 1, 0.0)),
        "one entry per token",
    ),
    "another width": (with_key(b"llama.embedding_length", uint(64)), "not as wide"),
    "an adapter": (with_key(b"general.type", string(b"adapter")), "is an adapter, model was expected"),
    "five dimensions": (with_tensor(1, (b"x", (1, 1, 1, 1, 32), 0, 256)), "5 dimensions"),
    "no dimensions": (with_tensor(1, (b"x", (), 0, 256)), "0 dimensions"),
    "a shape that overflows": (with_tensor(1, (b"x", (2**31, 2**31, 4), 0, 256)), "impossible shape"),
    "a shape with zero": (with_tensor(1, (b"x", (0,), 0, 256)), "impossible shape"),
    "an unknown tensor type": (with_tensor(1, (b"x", (32,), 99, 256)), "unsupported type 99"),
    "rows that fill no block": (with_tensor(1, (b"x", (33,), 8, 256)), "do not fill blocks of 32"),
    "a long tensor name": (with_tensor(1, (b"n" * 64, (32,), 0, 256)), "at most 63"),
    "a gap between tensors": (with_tensor(1, (b"x", (32,), 0, 288)), "begins at 288, 256 was expected"),
    "overlapping tensors": (with_tensor(1, (b"x", (32,), 0, 0)), "begins at 0, 256 was expected"),
    "a name twice": (with_tensor(1, (b"token_embd.weight", (32,), 0, 256)), "stands twice"),
    "no tensors": (File(tensors=[], data=b""), "holds no tensors"),
    "a cut last byte": (File(data=bytes(383)), "The file is cut"),
    "trailing junk": (File(after=bytes(32)), "32 unexplained bytes"),
    "nothing but a magic": (File(n_tensors=0, n_keys=0, keys={}, tensors=[], data=b""), "holds no tensors"),
}


def test_a_whole_file_is_read_with_its_facts(tmp_path):
    header = check(File().write(tmp_path / "m.gguf"))
    assert (header.architecture, header.file_type, header.parameter_count) == ("llama", "F16", 160)
    assert header.tensor_types == {"F16": 1, "F32": 1}
    assert header.vocabulary.head == ("<s>", "</s>", "a", "b")
    assert header.chat_template == "{{ messages }}"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_damaged_file_is_refused_with_a_sentence(tmp_path, name):
    file, sentence = HOSTILE[name]
    path = file.write(tmp_path / "m.gguf")
    with pytest.raises(GgufError, match=sentence):
        check(path)


def test_every_cut_of_a_file_is_refused_and_none_crashes(tmp_path):
    whole = File().write(tmp_path / "m.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    for size in range(len(whole)):
        cut.write_bytes(whole[:size])
        with pytest.raises(GgufError):
            check(cut)


def test_every_flipped_byte_of_the_header_is_refused_or_read(tmp_path):
    path = File().write(tmp_path / "m.gguf")
    whole = bytearray(path.read_bytes())
    refused = 0
    for position in range(read_header(path).data_starts_at):
        damaged = whole.copy()
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            check(path)
        except GgufError:
            refused += 1
    assert refused > 200


def test_an_adapter_needs_both_halves_of_each_tensor(tmp_path):
    keys = {
        b"general.architecture": string(b"llama"),
        b"general.type": string(b"adapter"),
        b"adapter.type": string(b"lora"),
        b"adapter.lora.alpha": struct.pack("<If", FLOAT32, 32.0),
    }
    halves = [(b"blk.0.attn_q.weight.lora_a", (32, 2), 0, 0), (b"blk.0.attn_q.weight.lora_b", (2, 32), 0, 256)]
    whole = File(keys=keys, tensors=halves, data=bytes(512)).write(tmp_path / "whole.gguf")
    half = File(keys=keys, tensors=halves[:1], data=bytes(256)).write(tmp_path / "half.gguf")
    assert check(whole, expect="adapter").is_adapter
    with pytest.raises(GgufError, match="partner"):
        check(half, expect="adapter")
    with pytest.raises(GgufError, match="adapter was expected"):
        check(File().write(tmp_path / "m.gguf"), expect="adapter")
