"""Bundles for tests: small, valid, and then made hostile one thing at a time."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

TENSORS = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}


def safetensors(header=None, body=b"\0" * 24, length=None):
    raw = json.dumps(TENSORS if header is None else header).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + body


def adapter(**changes):
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], **changes}
    return {"adapter_config.json": json.dumps(config).encode(), "adapter_model.safetensors": safetensors()}


def merged(**changes):
    files = {
        "config.json": b'{"model_type": "llama"}',
        "tokenizer_config.json": b'{"tokenizer_class": "LlamaTokenizer"}',
        "model.safetensors": safetensors(),
    }
    return files | changes


def tar_of(path: Path, files: dict, mode="w:gz", specials=()):
    """`specials`: TarInfo objects that go in last."""
    with tarfile.open(path, mode) as tar:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
        for info in specials:
            tar.addfile(info)
    return path


def zip_of(path: Path, files: dict):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return path


def folder_of(path: Path, files: dict):
    for name, body in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(body)
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info
