"""From a base model to a verified quantised file, by the real trainer, converter and quantiser."""

import json
import shutil

import pytest

from pipelines.trainers.marker import MARKER, file_digest
from pipelines.work.chat_template import GUARD
from pipelines.work.gguf_header import check
from tests.unit.work.tiny_base import attempt, make_base, refusal, work

QUESTION = {"messages": [{"role": "user", "content": "The invoice shows the same amount twice. Case 400."}]}


def test_preflight_reads_rows_knows_the_converter_and_counts_the_disk(line):
    facts = line.results["preflight"]
    assert facts["rows_checked"] == 32
    assert facts["architecture"] == "LlamaForCausalLM"
    assert facts["needed_bytes"] < facts["free_bytes"]


def test_the_file_carries_the_guarded_template_and_the_facts_of_the_card(line):
    header = check(line.q4)
    assert header.chat_template.endswith(GUARD)
    facts = line.results["quantise"]
    assert facts["file_type"] == "Q4_K_M"
    assert facts["digest"] == file_digest(line.q4)
    assert facts["tensor_types"] == {"F32": 5, "Q4_K": 12, "Q6_K": 3}
    assert facts["template_digest"] == line.results["preflight"]["template_digest"] == header.template_digest


def test_a_quantised_file_is_canonical_so_that_a_host_keeps_its_digest(line, tmp_path):
    import ctypes

    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.only_copy = True
    copy = tmp_path / "copy.gguf"
    assert llama_cpp.llama_model_quantize(str(line.q4).encode(), str(copy).encode(), ctypes.byref(params)) == 0
    assert file_digest(copy) == file_digest(line.q4)


def test_a_verified_file_tokenises_as_the_training_did_and_answers_what_it_learnt(line, tmp_path):
    parity = line.results["convert"]["parity"]
    digest = line.results["quantise"]["digest"]
    facts = work(tmp_path, "verify", gguf=line.q4, parity=parity, golden=[QUESTION], digest=digest)
    assert facts["answers"][0]["text"] == "billing"
    assert facts["answers"][0]["finish"] == "stop"


def test_a_file_that_tokenises_otherwise_is_refused(line, tmp_path):
    parity = [{"text": "hello", "ids": [1, 2, 3]}]
    done = attempt(tmp_path, "verify", gguf=line.q4, parity=parity)
    assert done.permanent
    assert "tokenises a prompt otherwise" in done.error


def test_a_swapped_file_is_refused_by_its_digest(line, tmp_path):
    done = attempt(tmp_path, "verify", gguf=line.base_q4, digest=line.results["quantise"]["digest"])
    assert "its digest differs" in done.error


def test_weights_that_are_no_numbers_are_refused(line, tmp_path):
    header = check(line.f16)
    norm = next(tensor for tensor in header.tensors if tensor.name == "output_norm.weight")
    damaged = bytearray(line.f16.read_bytes())
    at = header.data_starts_at + norm.offset
    damaged[at : at + 4] = b"\xff\xff\xff\x7f"
    (tmp_path / "nan.gguf").write_bytes(damaged)
    done = attempt(tmp_path, "verify", gguf=tmp_path / "nan.gguf")
    assert done.permanent
    assert "does not load nan.gguf" in done.error


def test_a_model_is_no_adapter(line, tmp_path):
    done = attempt(tmp_path, "verify", gguf=line.q4, adapter=line.base_q4)
    assert done.permanent
    assert done.error == "The file is a model, adapter was expected."


def test_a_quantised_file_is_not_quantised_again(line, tmp_path):
    done = attempt(tmp_path, "quantise", source=line.q4, out=tmp_path / "again.gguf")
    assert done.permanent
    assert list(tmp_path.glob("*again*")) == []


def test_an_adapter_without_its_marker_is_not_converted(line, tmp_path):
    stopped = shutil.copytree(line.adapter, tmp_path / "adapter")
    (stopped / MARKER).unlink()
    error = refusal(tmp_path, "convert", base=line.base, adapter=stopped, out=tmp_path / "x.gguf")
    assert error.permanent
    assert "no completion marker" in str(error)


def test_a_base_without_a_template_is_refused_before_the_training(line, tmp_path):
    base = shutil.copytree(line.base, tmp_path / "base")
    config = json.loads((base / "tokenizer_config.json").read_text())
    del config["chat_template"]
    (base / "tokenizer_config.json").write_text(json.dumps(config))
    error = refusal(tmp_path, "preflight", base=base)
    assert error.permanent
    assert "no single chat template" in str(error)


def test_a_full_disk_is_told_before_the_training(line, tmp_path):
    error = refusal(tmp_path, "preflight", base=line.base, free_bytes_factor=1e9)
    assert not error.permanent
    assert "GB of disk" in str(error)


@pytest.mark.parametrize("variable", ["", "/nowhere"])
def test_a_missing_converter_says_how_to_get_it(line, tmp_path, monkeypatch, variable):
    monkeypatch.setenv("RETUNE_CONVERTER_DIR", variable)
    error = refusal(tmp_path, "preflight", base=line.base)
    assert error.permanent
    assert "run `make setup`" in str(error)


def test_a_base_and_its_adapter_apart_answer_as_the_merged_file_does(line, tmp_path):
    files = {"base": line.base, "adapter": line.adapter, "lora_out": tmp_path / "lora.gguf", "name": "model"}
    made = work(tmp_path, "convert", **files, out=tmp_path / "f16.gguf")
    work(tmp_path, "quantise", source=tmp_path / "f16.gguf", out=tmp_path / "base.gguf")
    again = work(tmp_path, "convert", base=line.base, adapter=None, out=tmp_path / "again.gguf", name="model")
    golden = [{"messages": [{"role": "user", "content": "Where is my parcel?"}]}]
    proven = {"gguf": tmp_path / "base.gguf", "adapter": tmp_path / "lora.gguf", "parity": made["parity"]}

    apart = work(tmp_path, "verify", **proven, golden=golden)
    merged = work(tmp_path, "verify", gguf=line.q4, golden=golden)

    assert again["digest"] == made["digest"], "the same base gives the same file, so hosts are sent it once"
    assert apart["answers"][0]["text"] == merged["answers"][0]["text"]
    assert work(tmp_path, "verify", gguf=tmp_path / "base.gguf", golden=golden)["answers"] != apart["answers"]


def test_an_adapter_apart_is_judged_as_it_is_shipped(line, tmp_path):
    from tests.unit.work.test_evaluate import case, write

    lora = tmp_path / "lora.gguf"
    work(tmp_path, "convert", base=line.base, adapter=line.adapter, lora_out=lora, out=tmp_path / "f16.gguf")
    cases = write(tmp_path / "task.jsonl", [case(100 + i) for i in range(24)])
    sets = [{"name": "accuracy", "kind": "task", "path": cases, "metrics": ["accuracy"], "max_tokens": 8}]
    arms = {"candidate": line.base_q4, "production": line.base_q4, "adapters": {"candidate": str(lora)}}
    found = work(tmp_path, "evaluate", **arms, sets=sets, out=tmp_path / "out")
    figures = found["sets"]["accuracy"]["metrics"]["accuracy"]
    assert figures["candidate"] >= 0.9
    assert figures["production"] <= 0.1, "the same file without the adapter"
    assert found["candidate_digest"].startswith(found["production_digest"] + "+")


def test_a_base_that_wants_code_of_its_own_is_refused_before_the_converter_could_run_it(tmp_path):
    base = make_base(tmp_path / "base", hidden=64)
    (base / "modeling_own.py").write_text("raise SystemExit('ran')")
    error = refusal(tmp_path, "convert", base=base, adapter=None, out=tmp_path / "x.gguf")
    assert error.permanent
    assert "modeling_own.py in the model's folder is code" in str(error)
