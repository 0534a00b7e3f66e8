"""One suite over every trainer, the fake and the real one."""

import dataclasses
import json
import os
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.trainers import TRAINERS, EarlyStopping, GoesOn, Order, Recipe, TrainerError, checkpoint, load
from pipelines.trainers.checkpoint import save as write_checkpoint
from pipelines.trainers.marker import MARKER, file_digest, require_marker
from pipelines.work.child import Limits, spawn
from tests.training.reference import KEY, Reference, serving
from tests.unit.work.tiny_base import make_base, refusal, write_dataset

RECIPE = Recipe(epochs=2, learning_rate=5e-3, batch_size=8, seed=5, lora_rank=8, precision="fp32")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base") / "base", hidden=64)


@pytest.fixture
def order(base, tmp_path):
    dataset = write_dataset(tmp_path / "data.jsonl", rows=40)
    return Order(base, dataset, RECIPE, tmp_path / "scratch", tmp_path / "adapter")


def silent(share, note, numbers):
    return None


@pytest.fixture(scope="module")
def elsewhere(base, tmp_path_factory):
    """An adapter that was trained somewhere else, packed as people pack it."""
    folder = tmp_path_factory.mktemp("elsewhere")
    dataset = write_dataset(folder / "data.jsonl", rows=40)
    load("peft").train(Order(base, dataset, RECIPE, folder / "scratch", folder / "adapter"), silent)
    return Path(shutil.make_archive(str(folder / "adapter"), "zip", folder / "adapter"))


@dataclass(frozen=True)
class Kind:
    """A trainer with an order that it can carry out; `facts`: steps, examples, rows left out, epochs."""

    name: str
    order: Order
    facts: tuple

    def train(self, progress=silent):
        """To the end: a training elsewhere is asked again, as the job's worker does."""
        while True:
            try:
                return load(self.name).train(self.order, progress)
            except GoesOn as under_way:
                progress(under_way.share, under_way.note, under_way.numbers)


PROGRAM = Path(__file__).parents[1] / "training" / "program.py"
NOT_TOLD = (None, None, 0, None)


@pytest.fixture(params=TRAINERS)
def kind(request, order):
    match request.param:
        case "import":
            brought = dataclasses.replace(order, dataset=request.getfixturevalue("elsewhere"))
            return Kind("import", brought, NOT_TOLD)
        case "remote":
            return Kind("remote", request.getfixturevalue("at_service"), NOT_TOLD)
        case "command":
            site = {"name": "own", "command": f"{sys.executable} {PROGRAM}"}
            return Kind("command", dataclasses.replace(order, site=site), NOT_TOLD)
    return Kind(request.param, order, (10, 40, 0, 2.0))


@pytest.fixture
def service(base, tmp_path):
    return Reference(tmp_path / "service", base)


@pytest.fixture
def at_service(service, order):
    with serving(service) as url:
        site = {"url": url, "model": "tiny", "order": "job 1", "allow_private": True, "poll_s": 0}
        yield dataclasses.replace(order, site=site, secret={"key": KEY})


def test_a_training_leaves_an_adapter_with_its_marker_and_its_facts(kind, order):
    shares = []
    trained = kind.train(lambda share, note, numbers: shares.append(share))
    assert (trained.steps, trained.examples, trained.left_out, trained.epochs) == kind.facts
    assert trained.trainer.partition(":")[0] == kind.name
    assert shares == sorted(shares)
    assert 0 < shares[-1] <= 1
    files = require_marker(order.out)["files"]
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(files)
    json.dumps(trained.as_dict(), allow_nan=False)


def test_an_adapter_loads_and_merges(kind, order):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    kind.train()
    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(order.base), order.out).merge_and_unload()
    assert merged.config.model_type == "llama"


def test_a_damaged_adapter_is_not_taken_for_whole(kind, order):
    kind.train()
    (order.out / "adapter_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(TrainerError, match="not the file that the training wrote"):
        require_marker(order.out)


@pytest.mark.parametrize("name", ["peft", "fake"])
def test_a_row_that_asks_without_an_answer_is_refused(name, order):
    order.dataset.write_text('{"messages": [{"role": "user", "content": "hello"}]}\n')
    with pytest.raises(TrainerError, match="Line 1 of data") as caught:
        load(name).train(order, silent)
    assert caught.value.permanent


def test_what_is_brought_is_taken_again_after_a_kill_and_nothing_else_lies_there(order, elsewhere):
    brought = dataclasses.replace(order, dataset=elsewhere)
    order.out.mkdir()
    (order.out / "half.safetensors").write_bytes(b"of an attempt that was killed")
    trained = load("import").train(brought, silent)
    assert trained.origin["bundle_digest"] == file_digest(elsewhere)
    assert set(require_marker(order.out)["files"]) == {"adapter_config.json", "adapter_model.safetensors"}


def test_an_unknown_trainer_is_refused_with_the_known_ones():
    with pytest.raises(TrainerError, match="Known: peft, fake"):
        load("oracle")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"learning_rate": 0}, "learning_rate = 0 is out of range"),
        ({"epochs": 0}, "epochs = 0"),
        ({"schedule": "magic"}, "schedule = 'magic'"),
        ({"lora_ranks": 8}, "unknown settings: lora_ranks"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(values, sentence):
    with pytest.raises(TrainerError, match=sentence):
        Recipe.parse(values)


def adapter_tensors(folder):
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


def in_child(order, folder, on_line, every=1):
    spec = {
        "base": str(order.base),
        "dataset": str(order.dataset),
        "recipe": order.recipe.as_dict(),
        "scratch": str(order.scratch),
        "out": str(order.out),
        "checkpoint_every_steps": every,
    }
    return spawn(
        "train",
        spec,
        scratch=folder / "child",
        limits=Limits(threads=1),
        on_line=on_line,
        cancelled=lambda: False,
        log_path=folder / "log",
    )


def test_a_killed_training_resumes_and_reaches_the_same_steps_and_weights(order, tmp_path):
    child_is = []

    def kill_at_a_checkpoint(line):
        if (order.scratch / "checkpoint.pt").exists() and not child_is:
            child_is.append(find_child(tmp_path))
            os.kill(child_is[0], signal.SIGKILL)

    long = dataclasses.replace(order, recipe=dataclasses.replace(RECIPE, epochs=16))
    killed = in_child(long, tmp_path, kill_at_a_checkpoint)
    assert (killed.ok, killed.permanent, killed.signal_name) == (False, False, "SIGKILL")
    assert not (order.out / MARKER).exists()
    resumed = in_child(long, tmp_path, lambda line: None, every=40)
    assert resumed.result["steps"] == 80
    assert 0 < resumed.result["resumed_at_step"] < 80
    straight = dataclasses.replace(long, scratch=tmp_path / "other", out=tmp_path / "straight")
    unbroken = in_child(straight, tmp_path, lambda line: None, every=40)
    assert unbroken.result["resumed_at_step"] == 0
    one, other = adapter_tensors(long.out), adapter_tensors(straight.out)
    assert all(bool((one[name] == other[name]).all()) for name in other)


class Cut(Exception):
    """The training ends here."""


def half_written(folder, state):
    (folder / f".{checkpoint.FILE}").write_bytes(b"half")
    raise Cut


def just_written(folder, state):
    write_checkpoint(folder, state)
    raise Cut


@pytest.mark.parametrize("cut", [half_written, just_written])
def test_a_training_reaches_the_same_from_each_of_its_checkpoints(order, tmp_path, monkeypatch, cut):
    hard = dataclasses.replace(RECIPE, lora_dropout=0.2, early_stopping=EarlyStopping(patience=5, share=0.2))
    often = dataclasses.replace(order, recipe=hard, checkpoint_every_steps=1)
    straight = load("peft").train(often, silent)
    weights = adapter_tensors(often.out)
    for whole in range(straight.steps + hard.epochs):  # One for each step, one for each epoch's end.
        again = dataclasses.replace(often, scratch=tmp_path / f"scratch{whole}", out=tmp_path / f"out{whole}")
        with monkeypatch.context() as patch, pytest.raises(Cut):
            saves = iter([write_checkpoint] * whole + [cut])
            patch.setattr(checkpoint, "save", lambda folder, state, saves=saves: next(saves)(folder, state))
            load("peft").train(again, silent)
        resumed, mine = load("peft").train(again, silent), adapter_tensors(again.out)
        assert facts_of(resumed) == facts_of(straight), whole
        assert all(bool((mine[name] == weights[name]).all()) for name in weights), whole


def facts_of(trained):
    return (trained.steps, trained.first_loss, trained.last_loss, trained.held_out_loss, trained.precision)


def find_child(folder):
    """The process that works in this test's scratch folder."""
    marker = str(folder / "child" / "spec.json").encode()
    found = [p for p in Path("/proc").iterdir() if p.name.isdigit() and marker in read(p / "cmdline")]
    return int(found[0].name)


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_finished_order_is_not_carried_out_again(order):
    first = load("peft").train(order, silent)
    again = load("peft").train(order, silent)
    assert again == first


def test_another_recipe_does_not_resume_this_training(order):
    load("peft").train(dataclasses.replace(order, checkpoint_every_steps=1), silent)
    other = dataclasses.replace(order, recipe=dataclasses.replace(RECIPE, seed=6))
    assert load("peft").train(other, silent).resumed_at_step == 0


def test_early_stopping_keeps_the_best_epoch_and_says_so(order):
    stopping = Recipe.parse({**RECIPE.as_dict(), "epochs": 30, "early_stopping": {"patience": 1, "min_delta": 1e9}})
    trained = load("peft").train(dataclasses.replace(order, recipe=stopping), silent)
    # The first epoch always improves on nothing; the second cannot improve by so much.
    assert trained.stopped_early
    assert trained.epochs == 2.0
    assert trained.held_out_loss is not None


def test_rows_over_the_token_limit_are_left_out_and_counted(order):
    long = {"messages": [{"role": "user", "content": "word " * 400}, {"role": "assistant", "content": "ok"}]}
    with order.dataset.open("a") as file:
        file.write(json.dumps(long) + "\n")
    trained = load("peft").train(order, silent)
    assert (trained.examples, trained.left_out) == (40, 1)


def test_only_the_answer_is_learnt(base):
    from pipelines.trainers.loop import IGNORED, collate
    from pipelines.trainers.rows import tokenise
    from pipelines.work.conversion.parity import open_tokenizer

    tokenizer = open_tokenizer(base)
    messages = [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "billing"}]
    rows, _ = tokenise(tokenizer, [messages], 512)
    _, _, targets = collate(rows)
    learnt = [token for token in targets[0].tolist() if token != IGNORED]
    assert tokenizer.decode(learnt) == "billing<|im_end|>"


def test_targets_that_the_base_lacks_are_a_permanent_error(order, tmp_path):
    recipe = {**RECIPE.as_dict(), "targets": ["c_attn"]}
    error = refusal(tmp_path, "train", base=order.base, dataset=order.dataset, out=order.out, recipe=recipe)
    assert error.permanent
    assert "targets do not fit" in str(error)


def test_running_out_of_memory_may_be_tried_again(order, tmp_path):
    done = spawn(
        "train",
        {"base": str(order.base), "dataset": str(order.dataset), "scratch": str(tmp_path), "out": str(order.out)},
        scratch=tmp_path / "child",
        limits=Limits(address_space_bytes=400_000_000),
        on_line=lambda line: None,
        cancelled=lambda: False,
        log_path=tmp_path / "log",
    )
    assert not done.ok
    assert not done.permanent
