"""A training by a program that the operator registered: what it is told, what it may say, and how it fails."""

import dataclasses
import io
import json
import os
import sys

import pytest

from pipelines.bundles import BundleRefused
from pipelines.trainers import Order, Recipe, TrainerError, load
from pipelines.work.report import Report

# What each program does with the order; they run without any package of ours.
HEAD = "import json, os, pathlib, sys, time\ntold = json.load(open(sys.argv[-1]))\nout = pathlib.Path(told['out'])\n"
GOOD = """
config = {"peft_type": "LORA", "r": told["recipe"]["lora_rank"], "lora_alpha": 8, "target_modules": ["q_proj"]}
(out / "adapter_config.json").write_text(json.dumps(config))
(out / "adapter_model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
"""


@pytest.fixture
def order(tmp_path):
    (tmp_path / "data.jsonl").write_text("{}\n")
    (tmp_path / "base").mkdir()
    return Order(
        tmp_path / "base", tmp_path / "data.jsonl", Recipe(lora_rank=4), tmp_path / "scratch", tmp_path / "out"
    )


def train(order, tmp_path, body, progress=lambda share, note, numbers: None):
    program = tmp_path / "program with a space.py"
    program.write_text(HEAD + body)
    site = {"name": "own", "command": f"{sys.executable} '{program}'"}
    return load("command").train(dataclasses.replace(order, site=site), progress)


def test_it_gets_the_recipe_and_its_folder_is_taken(order, tmp_path):
    lines = []
    said = """
print("a banner", {"progress": 1})
print(json.dumps({"progress": 0.5, "note": "half", "numbers": {"loss": 0.25, "x": [1]}}), flush=True)
print(json.dumps({"progress": "much"}))
print(json.dumps({"result": {"loss": 0.125, "by": "own 1.0", "y": [1]}}))
"""
    trained = train(order, tmp_path, GOOD + said, lambda *line: lines.append(line))
    assert lines == [(0.475, "half", {"loss": 0.25}), (1.0, "trained", {})]
    assert (trained.trainer, trained.kind) == ("command:own", "adapter")
    assert trained.origin == {"command": "own", "loss": 0.125, "by": "own 1.0"}
    assert json.loads((order.out / "adapter_config.json").read_text())["r"] == 4


def test_numbers_that_are_none_are_left_out_and_end_no_training(order, tmp_path):
    """Into the parent's ears as the child does it, which refuses what JSON has not."""
    said = """
print(json.dumps({"progress": float("nan")}))
print(json.dumps({"progress": 0.5, "numbers": {"loss": float("nan"), "lr": float("inf"), "step": 3}}), flush=True)
print('{"progress": 0.75, "numbers": {"tokens": 1' + 400 * '0' + '}}')
print(json.dumps({"result": {"loss": float("nan"), "best": -float("inf"), "by": "own 1.0"}}))
"""
    heard = io.StringIO()
    report = Report(heard)

    trained = train(order, tmp_path, GOOD + said, lambda *line: report.progress(*line, force=True))
    report.result(trained.as_dict())

    lines = [json.loads(line) for line in heard.getvalue().splitlines()]
    assert [(line["progress"], line["numbers"]) for line in lines[:2]] == [(0.475, {"step": 3}), (0.7125, {})]
    assert lines[-1]["result"]["origin"] == {"command": "own", "by": "own 1.0"}


def test_a_finished_order_is_not_carried_out_again(order, tmp_path):
    count = f"open({str(tmp_path / 'count')!r}, 'a').write('x')\n"
    assert train(order, tmp_path, GOOD + count) == train(order, tmp_path, GOOD + count)
    assert (tmp_path / "count").read_text() == "x"


def test_its_checkpoints_outlive_an_attempt_and_half_a_result_does_not(order, tmp_path):
    first = (
        "(out / 'half.py').write_text('x')\n(pathlib.Path(told['checkpoints']) / 'one').write_text('1')\nsys.exit(3)"
    )
    with pytest.raises(TrainerError, match="ended with code 3") as failed:
        train(order, tmp_path, first)
    assert not failed.value.permanent
    train(order, tmp_path, GOOD + "assert (pathlib.Path(told['checkpoints']) / 'one').read_text() == '1'\n")


@pytest.mark.parametrize(
    ("body", "sentence", "permanent"),
    [
        ("print(json.dumps({'error': 'no GPU is free', 'permanent': False}))", "no GPU is free", False),
        ("print(json.dumps({'error': 'unknown base', 'permanent': True}))", "unknown base", True),
        ("os.kill(os.getpid(), 9)", "ended with code -9", False),
    ],
)
def test_what_it_says_of_its_failure_is_told(order, tmp_path, body, sentence, permanent):
    with pytest.raises(TrainerError, match=sentence) as failed:
        train(order, tmp_path, body)
    assert failed.value.permanent is permanent


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "no model"),
        (GOOD + "(out / 'modeling.py').write_text('x')", "is code"),
        (GOOD + "(out / 'tokenizer.json').symlink_to('/etc/passwd')", "a link"),
    ],
)
def test_what_it_leaves_is_taken_as_any_bundle_from_outside(order, tmp_path, body, sentence):
    with pytest.raises(BundleRefused, match=sentence):
        train(order, tmp_path, body)


def test_a_command_that_is_not_there_says_where_it_is_named(order):
    gone = dataclasses.replace(order, site={"name": "own", "command": "/nowhere/axolotl"})
    with pytest.raises(TrainerError, match="RETUNE_TRAINER_COMMANDS") as failed:
        load("command").train(gone, lambda share, note, numbers: None)
    assert failed.value.permanent


def test_our_packages_are_not_mixed_into_its_own(order, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    train(order, tmp_path, GOOD + "assert 'PYTHONPATH' not in os.environ and told['dataset'].endswith('data.jsonl')\n")
