"""A corpus of hostile bundles: each is refused with a sentence, and nothing of it is left in the folder."""

import json
import os
import stat
import struct
import tarfile
import zipfile

import pytest

from pipelines.bundles import BundleRefused, Limits, refuse_code, take
from tests.unit.bundles.packing import TENSORS, adapter, folder_of, merged, safetensors, special, tar_of, zip_of

SMALL = Limits(total_bytes=100_000, files=20)

GOOD = [("adapter", adapter()), ("merged", merged()), ("gguf", {"m.gguf": b"GGUF"})]
PACKED = {
    "tar.gz": tar_of,
    "tar": lambda path, files: tar_of(path, files, "w"),
    "tar.xz": lambda path, files: tar_of(path, files, "w:xz"),
    "zip": zip_of,
    "folder": folder_of,
}


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
@pytest.mark.parametrize(("kind", "files"), GOOD, ids=[kind for kind, _ in GOOD])
@pytest.mark.parametrize("under", ["", "export/final/"])
def test_a_models_own_files_are_taken_and_laid_out_flat(tmp_path, pack, kind, files, under):
    extra = {"README.md": b"Trained on Tuesday.", "checkpoint-5/tokenizer.json": b"{}"}
    given = {under + name: body for name, body in (files | extra).items()}
    taken = take(pack(tmp_path / "given", given), tmp_path / "out", SMALL)
    assert (taken.kind, set(taken.files)) == (kind, set(files))
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(files)
    assert set(taken.left_out) == {under + name for name in extra}


def test_a_bare_gguf_is_taken(tmp_path):
    (tmp_path / "x").write_bytes(b"GGUF and more")
    assert take(tmp_path / "x", tmp_path / "out").files == ("model.gguf",)


def test_an_adapters_settings_are_written_anew_by_known_keys(tmp_path):
    files = adapter(base_model_name_or_path="/etc", auto_mapping={"parent_library": "os"}, task_type=None, bias="none")
    take(folder_of(tmp_path / "given", files | {"config.json": b"{}"}), tmp_path / "out")
    kept = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert set(kept) == {"peft_type", "r", "lora_alpha", "target_modules", "bias", "task_type", "inference_mode"}
    assert not (tmp_path / "out" / "config.json").exists()


def with_(name, body=b"x"):
    return {**merged(), name: body}


DEEP = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
HOSTILE = {
    "code": (with_("modeling_x.py"), "is code"),
    "code, nested": (with_("src/x/modeling.PY"), "is code"),
    "a library": (with_("libx.so"), "is code"),
    "a notebook": (with_("train.ipynb"), "is code"),
    "a pickle": (with_("pytorch_model.bin"), "may hold a pickle"),
    "a checkpoint's pickle": (with_("checkpoint-5/optimizer.pt"), "may hold a pickle"),
    "numpy": (with_("x.NPY"), "may hold a pickle"),
    "upwards": (with_("../config.json"), "leads out of the bundle"),
    "upwards inside": (with_("a/../../x.json"), "leads out of the bundle"),
    "absolute": (with_("/etc/passwd"), "absolute name"),
    "another system": (with_("C:\\x.json"), "absolute name"),
    "backslashes": (with_("..\\x.json"), "absolute name"),
    "a line break": (with_("a\nb.json"), "no model file has"),
    "endless name": (with_("a" * 500), "no model file has"),
    "auto_map": (merged(**{"config.json": b'{"auto_map": {"AutoModel": "x.Y"}}'}), "wants code of its own"),
    "auto_map, deep": (merged(**{"tokenizer_config.json": b'{"a": [{"auto_map": 1}]}'}), "wants code of its own"),
    "trust": (with_("generation_config.json", b'{"trust_remote_code": true}'), "wants code of its own"),
    "no JSON": (merged(**{"config.json": b"{"}), "is not JSON"),
    "a list": (merged(**{"config.json": b"[]"}), "not a JSON object"),
    "deep JSON": (with_("tokenizer.json", DEEP), "is not JSON"),
    "too many bytes": (with_("tokenizer.model", b"\0" * 200_000), "more than it may"),
    "too many bytes left out": (with_("readme", b"\0" * 200_000), "more than it may"),
    "too many files": ({f"{n}.md": b"" for n in range(21)} | merged(), "more than 20 files"),
    "nothing": ({"readme.md": b"hello"}, "no model"),
    "two models": (merged() | {"m.gguf": b"GGUF"}, "2 models"),
    "two folders": ({f"{d}/{n}": b for d in "ab" for n, b in merged().items()}, "side by side"),
    "half an adapter": ({"adapter_config.json": adapter()["adapter_config.json"]}, "lacks adapter_model.safetensors"),
    "no tokenizer": ({n: b for n, b in merged().items() if "tokenizer" not in n}, "lacks tokenizer_config.json"),
    "an index that lies": (with_("model.safetensors.index.json", b'{"weight_map": {"a": "b"}}'), "not in the bundle"),
    "an index upwards": (
        with_("model.safetensors.index.json", b'{"weight_map": {"a": "../../x"}}'),
        "not in the bundle",
    ),
    "another method": (adapter(peft_type="PROMPT_TUNING"), "no plain LoRA"),
    "whole modules": (adapter(modules_to_save=["lm_head"]), "whole modules"),
    "a pattern": (adapter(target_modules="(a+)+$"), "list of names"),
}


@pytest.mark.parametrize("pack", [tar_of, zip_of], ids=["tar", "zip"])
@pytest.mark.parametrize(("files", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_bundle_is_refused_and_leaves_nothing(tmp_path, pack, files, sentence):
    limits = Limits() if DEEP in files.values() else SMALL
    with pytest.raises(BundleRefused, match=sentence) as caught:
        take(pack(tmp_path / "given", files), tmp_path / "out", limits)
    assert caught.value.permanent
    assert list((tmp_path / "out").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given", "out"]


LYING = {
    "a header over the end": safetensors(length=2**40),
    "shorter than its length": b"\1\2\3",
    "no JSON": (4).to_bytes(8, "little") + b"{{{{",
    "a list": (2).to_bytes(8, "little") + b"[]",
    "tensors outside": safetensors({"a": {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 48]}}),
    "tensors that overlap": safetensors(TENSORS | {"b": TENSORS["a"]}),
    "a gap": safetensors({"a": {"dtype": "F32", "shape": [5], "data_offsets": [4, 24]}}),
    "bytes nobody owns": safetensors(body=b"\0" * 99),
    "an unknown type": safetensors({"a": {"dtype": "PICKLE", "shape": [6], "data_offsets": [0, 24]}}),
    "a negative shape": safetensors({"a": {"dtype": "F32", "shape": [-2, -3], "data_offsets": [0, 24]}}),
    "a shape too large": safetensors({"a": {"dtype": "F32", "shape": [2**70], "data_offsets": [0, 24]}}),
    "a float for an offset": safetensors({"a": {"dtype": "F32", "shape": [6], "data_offsets": [0, 24.0]}}),
    "no facts": safetensors({"a": 1}),
    "a pickle in disguise": b"\x80\x04\x95" + b"\0" * 64,
}


@pytest.mark.parametrize("body", LYING.values(), ids=LYING)
def test_weights_whose_header_lies_are_refused(tmp_path, body):
    with pytest.raises(BundleRefused, match=r"model\.safetensors"):
        take(zip_of(tmp_path / "given", merged(**{"model.safetensors": body})), tmp_path / "out")


SPECIAL = {
    "a link": special("tokenizer.json", tarfile.SYMTYPE, "/etc/passwd"),
    "a hard link": special("tokenizer.json", tarfile.LNKTYPE, "config.json"),
    "a device": special("tokenizer.json", tarfile.CHRTYPE),
    "a pipe": special("tokenizer.json", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("info", SPECIAL.values(), ids=SPECIAL)
def test_what_is_no_plain_file_is_refused(tmp_path, info):
    with pytest.raises(BundleRefused, match="a link, a device"):
        take(tar_of(tmp_path / "given", merged(), specials=[info]), tmp_path / "out")


def test_a_link_in_a_zip_or_a_folder_is_refused(tmp_path):
    with zipfile.ZipFile(zip_of(tmp_path / "zip", merged()), "a") as archive:
        info = zipfile.ZipInfo("tokenizer.json")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    folder = folder_of(tmp_path / "folder", merged())
    (folder / "tokenizer.json").symlink_to("/etc/passwd")
    for given in ("zip", "folder"):
        with pytest.raises(BundleRefused, match="a link, a device"):
            take(tmp_path / given, tmp_path / "out")


def test_the_same_name_twice_is_refused(tmp_path):
    with zipfile.ZipFile(zip_of(tmp_path / "given", merged()), "a") as archive:
        archive.writestr("CONFIG.JSON", "{}")
    with pytest.raises(BundleRefused, match="stands twice"):
        take(tmp_path / "given", tmp_path / "out")


def test_a_bomb_is_stopped_at_the_limit_and_not_where_its_header_says(tmp_path):
    given = zip_of(tmp_path / "given", merged(**{"tokenizer.model": b"\0" * 5_000_000}))
    lying = given.read_bytes().replace(struct.pack("<I", 5_000_000), struct.pack("<I", 9))
    given.write_bytes(lying)
    with pytest.raises(BundleRefused):
        take(given, tmp_path / "out", SMALL)
    assert os.path.getsize(given) < 20_000
    with pytest.raises(BundleRefused, match="more than it may"):
        take(tar_of(tmp_path / "tar", {"x.md": b"\0" * 50_000_000}), tmp_path / "out", SMALL)


@pytest.mark.parametrize("keep", [0.3, 0.6])
@pytest.mark.parametrize("pack", ["tar.gz", "tar.xz", "tar", "zip"])
def test_a_bundle_that_is_cut_off_is_refused(tmp_path, pack, keep):
    whole = PACKED[pack](tmp_path / "whole", merged(**{"tokenizer.model": os.urandom(30_000)})).read_bytes()
    (tmp_path / "given").write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(BundleRefused):
        take(tmp_path / "given", tmp_path / "out")


@pytest.mark.parametrize("body", [b"", b"PK\x03\x04", b"hello", b"\x1f\x8b\x08\0", b"BZh9xxxxxxxx", b"\xfd7zXZ\0" * 9])
def test_what_is_no_bundle_is_refused_with_what_to_bring(tmp_path, body):
    (tmp_path / "given").write_bytes(body)
    with pytest.raises(BundleRefused, match=r"Bring (a|one) GGUF"):
        take(tmp_path / "given", tmp_path / "out")


def test_an_encrypted_zip_is_refused(tmp_path):
    given = zip_of(tmp_path / "given", {"config.json": b"{}"})
    raw = bytearray(given.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    given.write_bytes(raw)
    with pytest.raises(BundleRefused, match="encrypted"):
        take(given, tmp_path / "out")


@pytest.mark.parametrize(("name", "body"), [("modeling.py", b""), ("config.json", b'{"auto_map": {}}')])
def test_a_base_folder_with_code_is_refused_before_a_converter_sees_it(tmp_path, name, body):
    with pytest.raises(BundleRefused):
        refuse_code(folder_of(tmp_path / "base", merged(**{name: body})))
