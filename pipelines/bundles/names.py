"""Which files of a bundle are taken, by their names alone: some are refused, some are left, few are kept."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

CODE = frozenset({
    ".py", ".pyc", ".pyo", ".pyd", ".pyx", ".pyz", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".cmd",
    ".ps1", ".js", ".jar", ".whl", ".egg", ".ipynb",
})  # fmt: skip
# torch, numpy and joblib read these with pickle, which runs whatever stands in them.
PICKLES = frozenset({
    ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".npy", ".npz", ".h5", ".keras", ".msgpack",
})  # fmt: skip
KEPT = frozenset({
    "config.json", "generation_config.json", "adapter_config.json", "adapter_model.safetensors", "tokenizer.json",
    "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json", "model.safetensors.index.json",
})  # fmt: skip
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|[\w.-]+\.gguf", re.ASCII)
LONGEST_PATH = 400


class BundleRefused(ValueError):
    """A bundle that is not taken; the sentence says what is in the way and what to do. Trying again cannot help."""

    permanent = True


def plain_path(name: str) -> PurePosixPath:
    """The path of an entry inside its bundle. Refuses what leads out of it, or means one thing here and one there."""
    path = PurePosixPath(name)
    if len(name) > LONGEST_PATH or not name.isprintable():
        raise BundleRefused(f"The bundle has a name that no model file has: {name[:60]!r}. Pack it anew.")
    if path.is_absolute() or "\\" in name or ":" in name:
        raise BundleRefused(f"{name} is an absolute name or one of another system. Pack the folder by relative names.")
    if ".." in path.parts:
        raise BundleRefused(f"{name} leads out of the bundle. Pack the folder itself, without “..”.")
    return path


def is_kept(path: PurePosixPath) -> bool:
    """Whether a file of this name is a model's; False leaves it out. Refuses code and pickles wherever they lie."""
    suffix = path.suffix.lower()
    if suffix in CODE:
        raise BundleRefused(f"{path} is code. A model that needs code of its own is not taken: leave it out.")
    if suffix in PICKLES:
        raise BundleRefused(f"{path} may hold a pickle, which runs code. Leave it out; weights come as safetensors.")
    return path.name in KEPT or WEIGHTS.fullmatch(path.name) is not None
