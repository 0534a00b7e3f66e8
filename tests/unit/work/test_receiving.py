"""What was trained elsewhere, by the real child processes: taken, compared with its base, built."""

import json
import shutil
from pathlib import Path

import pytest

from pipelines.bundles import take
from pipelines.work.chat_template import GUARD
from pipelines.work.gguf_header import check
from tests.unit.bundles.packing import adapter, folder_of, safetensors, zip_of
from tests.unit.work.tiny_base import CHATML, attempt, work

CONFIG = {"model_type": "llama", "hidden_size": 3, "num_hidden_layers": 1}
LAYER = "model.layers.0.self_attn.q_proj"


def tensors(**shapes):
    """Weights of these shapes, all of them zero."""
    header, at = {}, 0
    for name, (rows, width) in shapes.items():
        header[name] = {"dtype": "F32", "shape": [rows, width], "data_offsets": [at, at + 4 * rows * width]}
        at += 4 * rows * width
    return safetensors(header, b"\0" * at)


def described(template=CHATML, **config):
    """A model's folder: what is compared of it needs no library that loads models."""
    return {
        "config.json": json.dumps(CONFIG | config).encode(),
        "tokenizer_config.json": json.dumps({"chat_template": template}).encode(),
        "model.safetensors": tensors(**{f"{LAYER}.weight": (2, 3)}),
    }


def lora(a=(4, 3), b=(2, 4), layer=LAYER):
    name = f"base_model.model.{layer}"
    weights = tensors(**{f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b})
    return adapter() | {"adapter_model.safetensors": weights}


@pytest.fixture
def base(tmp_path):
    return folder_of(tmp_path / "base", described())


def received(tmp_path, base, files, **spec):
    bundle = take(zip_of(tmp_path / "given", files), tmp_path / "taken")
    return attempt(tmp_path, "received", base=base, taken=tmp_path / "taken", form=bundle.kind, **spec)


@pytest.mark.parametrize("files", [lora(), described(), described() | {"chat_template.jinja": CHATML.encode()}])
def test_a_template_that_is_the_bases_waits_for_nobody(tmp_path, base, files):
    assert received(tmp_path, base, files).result == {"text": CHATML, "differs": False, "diff": []}


def test_another_template_is_told_line_by_line(tmp_path, base):
    other = CHATML.replace("assistant\\n", "assistant\\nObey me.")
    found = received(tmp_path, base, lora() | {"chat_template.jinja": other.encode()}).result
    assert (found["text"], found["differs"]) == (other, True)
    changed = [line for line in found["diff"][2:] if line[0] in "+-"]
    assert [line[0] for line in changed] == ["-", "+"]
    assert "Obey me." in changed[1]


HOSTILE = {
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}": "takes too long",
    "{{ 'x' * 40000000000 }}": "does not render",
    "{% for a in range(60000) %}{{ 'hello' }}{% endfor %}": "characters of a short question",
    "{{ messages.__class__.__mro__ }}{{ cycler.__init__.__globals__.os.system('true') }}": "does not render",
    "{{ undefined_name.x }}": "does not render",
    "{% if": "does not render",
    "x" * 70_000: "at most 65536 bytes",
}


@pytest.mark.parametrize(("template", "sentence"), HOSTILE.items(), ids=range(len(HOSTILE)))
def test_a_hostile_chat_template_ends_in_a_sentence(tmp_path, base, template, sentence):
    ended = received(tmp_path, base, lora() | {"chat_template.jinja": template.encode()}, processor_s=2)
    assert (ended.ok, ended.permanent) == (False, True)
    assert sentence in ended.error


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (described(hidden_size=4), "hidden_size is 4, the base has 3"),
        (described(model_type="qwen2"), "model_type is 'qwen2'"),
        (lora(a=(4, 5)), "fits no weight of this base"),
        (lora(b=(9, 4)), "fits no weight of this base"),
        (lora(layer="transformer.h.0.attn"), "fits no weight of this base"),
    ],
)
def test_what_was_trained_on_another_base_is_refused(tmp_path, base, files, sentence):
    ended = received(tmp_path, base, files)
    assert (ended.ok, ended.permanent) == (False, True)
    assert sentence in ended.error


def taken(tmp_path, bundle):
    """An import as the run's job does it."""
    out = tmp_path / "taken"
    return attempt(tmp_path, "train", trainer="import", base=tmp_path, dataset=bundle, out=out)


def test_a_pickle_in_the_bundle_is_named_by_the_child(tmp_path):
    ended = taken(tmp_path, zip_of(tmp_path / "given", lora() | {"training_args.bin": b"x"}))
    assert (ended.ok, ended.permanent) == (False, True)
    assert "training_args.bin may hold a pickle" in ended.error


def test_a_gguf_whose_header_lies_is_refused_before_anything_loads_it(tmp_path):
    (tmp_path / "given").write_bytes(b"GGUF" + b"\3\0\0\0" + b"\xff" * 40)
    ended = taken(tmp_path, tmp_path / "given")
    assert (ended.ok, ended.permanent) == (False, True)
    assert "tensors; at most" in ended.error


def test_an_adapter_that_was_brought_becomes_the_very_file_that_training_here_gives(line, tmp_path):
    bundle = Path(shutil.make_archive(str(tmp_path / "brought"), "zip", line.adapter))
    assert taken(tmp_path, bundle).result["kind"] == "adapter"
    made = {"adapter": tmp_path / "taken", "out": tmp_path / "m.gguf", "template": CHATML, "name": "tiny"}
    assert work(tmp_path, "received", base=line.base, taken=tmp_path / "taken", form="adapter")["differs"] is False
    assert work(tmp_path, "convert", base=line.base, **made)["digest"] == line.results["convert"]["digest"]


def test_a_gguf_that_was_brought_keeps_its_weights_under_the_guarded_template(line, tmp_path):
    assert taken(tmp_path, line.q4).result["kind"] == "gguf"
    source, full, shipped = tmp_path / "taken" / "model.gguf", tmp_path / "full.gguf", tmp_path / "shipped.gguf"
    assert work(tmp_path, "received", base=line.base, taken=source.parent, form="gguf")["differs"] is False
    assert work(tmp_path, "guard", gguf=source, base=line.base, template=CHATML, out=full)["file_type"] == "Q4_K_M"
    made = work(tmp_path, "quantise", source=full, out=shipped, is_final=True)
    assert check(shipped).chat_template == CHATML + GUARD
    assert made["digest"] == line.results["quantise"]["digest"], "what was ours already comes back byte for byte"
