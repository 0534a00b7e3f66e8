"""Takes what came from outside into a folder of ours: only a model's own files, each judged; or a sentence why not."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pipelines.bundles.archives import CHUNK_BYTES, Entry, Limits, entries, readable
from pipelines.bundles.contents import check_index, clean_adapter, read_json
from pipelines.bundles.names import CODE, BundleRefused, is_kept, plain_path
from pipelines.bundles.safetensors import check_safetensors

USUAL = Limits()
INDEX = "model.safetensors.index.json"
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
NOT_AN_ADAPTERS = ("config.json", "generation_config.json")
Kind = Literal["adapter", "merged", "gguf"]


@dataclass(frozen=True)
class Bundle:
    """What was taken. `left_out`: files that are no model's and were not read."""

    kind: Kind
    files: tuple[str, ...]
    left_out: tuple[str, ...]
    total_bytes: int


def take(source: Path, out: Path, limits: Limits = USUAL) -> Bundle:
    """The model in `source` (a folder, a tar or zip of one, a GGUF file), laid out flat in `out`.

    Raises BundleRefused; `out` is empty then. A GGUF's own header is for pipelines.work.gguf_header to judge.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    try:
        with readable():
            return _taken(source, out, limits)
    except BundleRefused:
        shutil.rmtree(out)
        out.mkdir()
        raise


def _taken(source: Path, out: Path, limits: Limits) -> Bundle:
    found: dict[PurePosixPath, str] = {}
    left_out, seen, total = [], set(), 0
    for entry in entries(source, limits):
        path = plain_path(entry.name)
        if str(path).casefold() in seen:
            raise BundleRefused(f"{path} stands twice in the bundle. Pack it anew.")
        seen.add(str(path).casefold())
        is_wanted = is_kept(path)
        # What is left out is counted too: a bomb goes off in whatever reads it.
        name = f"{len(found)}"
        total += _copied(entry, out / name if is_wanted else None, limits.total_bytes - total)
        if is_wanted:
            found[path] = name
        else:
            left_out.append(str(path))
    kept = _laid_out(found, out, left_out)
    kind = _kind(kept)
    kept = _only_of(kind, kept, out, left_out)
    _judge(kept, out)
    return Bundle(kind, tuple(sorted(kept)), tuple(left_out), sum((out / name).stat().st_size for name in kept))


def _copied(entry: Entry, to: Path | None, room: int) -> int:
    """Bytes read, up to the room that is left: what an archive says of its sizes is not asked."""
    size = 0
    target = to.open("wb") if to else None
    try:
        while chunk := entry.body.read(CHUNK_BYTES):
            size += len(chunk)
            if size > room:
                raise BundleRefused(f"The bundle unpacks to more than it may: {entry.name} goes over the limit.")
            if target:
                target.write(chunk)
    finally:
        if target:
            target.close()
    return size


def _laid_out(found: dict[PurePosixPath, str], out: Path, left_out: list[str]) -> set[str]:
    """Files of the bundle's one folder get their names; those that lie deeper (checkpoints) are left out."""
    depth = min((len(path.parts) for path in found), default=0)
    kept: set[str] = set()
    folders = {path.parent for path in found if len(path.parts) == depth}
    if len(folders) > 1:
        raise BundleRefused(f"The bundle holds {len(folders)} models, in folders side by side. Bring one.")
    for path, name in found.items():
        if len(path.parts) == depth:
            (out / name).rename(out / path.name)
            kept.add(path.name)
        else:
            (out / name).unlink()
            left_out.append(str(path))
    return kept


def _kind(names: set[str]) -> Kind:
    ggufs = [name for name in names if name.endswith(".gguf")]
    kinds: list[Kind] = ["gguf"] * len(ggufs)
    if set(ADAPTER) & names:
        kinds.append("adapter")
    elif any(name.startswith("model") and name.endswith(".safetensors") for name in names):
        kinds.append("merged")
    if len(kinds) != 1:
        what = f"{len(kinds)} models" if kinds else "no model"
        raise BundleRefused(f"The bundle holds {what}. Bring one GGUF, one adapter folder or one merged folder.")
    needed = {"gguf": (), "adapter": ADAPTER, "merged": ("config.json", "tokenizer_config.json")}[kinds[0]]
    if missing := [name for name in needed if name not in names]:
        raise BundleRefused(f"The bundle lacks {', '.join(missing)}. Pack the whole folder.")
    return kinds[0]


def _only_of(kind: Kind, kept: set[str], out: Path, left_out: list[str]) -> set[str]:
    """Without weights and settings that belong to another kind: an adapter's folder may hold its base's config."""
    match kind:
        case "gguf":
            others = {name for name in kept if not name.endswith(".gguf")}
        case "adapter":
            others = {name for name in kept if name in NOT_AN_ADAPTERS or name.startswith("model")}
        case _:
            others = set()
    for name in sorted(others):
        (out / name).unlink()
        left_out.append(name)
    return kept - others


def _judge(kept: set[str], out: Path) -> None:
    for name in sorted(kept):
        path = out / name
        if name.endswith(".safetensors"):
            check_safetensors(path)
        elif name == "adapter_config.json":
            clean_adapter(path)
        elif name == INDEX:
            check_index(path, kept)
        elif name.endswith(".json"):
            read_json(path)


def refuse_code(folder: Path) -> None:
    """Raises BundleRefused for a model's folder that brings code or names some, whoever put it there.

    The official converter trusts code of some architectures: asked before it runs, there is none to trust.
    """
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in CODE:
            raise BundleRefused(f"{path.name} in the model's folder is code, which is never run here. Remove it.")
        if path.suffix == ".json" and path.is_file():
            read_json(path)
