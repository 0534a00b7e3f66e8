"""The shipped base model: small, whole, and with a tokenizer that neither runtime splits differently."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import sentencepiece
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from agency.demo.base import corpus

FOLDER = Path(corpus.__file__).with_name("tiny")
TEXTS = (
    "The kettle's dead.\nSince 2019,  two spaces & a tab\there.",
    '{"product": "juicer", "request": "how_to"}',
    "Größe 42 — naïve café ☕",
    " leading and trailing ",
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model() -> Iterator[PreTrainedModel]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    torch.set_num_threads(threads)


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_sentencepiece_s_own_and_come_back_as_the_text(
    tokenizer: PreTrainedTokenizerBase, text: str
) -> None:
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(FOLDER / "tokenizer.model"))

    ids = tokenizer(text, add_special_tokens=False)["input_ids"]

    assert ids == pieces.encode(text)
    assert tokenizer.decode(ids) == text


def test_turn_marks_are_single_special_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )

    assert rendered == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(rendered, add_special_tokens=False)["input_ids"]
    assert (ids.count(3), ids.count(4)) == (2, 1)
    assert {3, 4} <= set(tokenizer.all_special_ids)


def test_the_model_fits_k_quants_and_has_room_for_512_tokens() -> None:
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))

    assert config["hidden_size"] % 256 == config["intermediate_size"] % 256 == 0
    assert config["max_position_embeddings"] >= 512
    assert (FOLDER / "model.safetensors").stat().st_size < 8_000_000


def test_the_base_answers_the_tasks_of_its_own_corpus(
    tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel
) -> None:
    documents = corpus.corpus(seed=corpus.SEED + 1, count=16)

    right = sum(greedy(tokenizer, model, one.prompt()) == one.assistant for one in documents)

    assert right >= 14


def greedy(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, prompt: str) -> str:
    given = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        out = model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=40, do_sample=False)
    return tokenizer.decode(out[0, given.shape[1] :], skip_special_tokens=True).strip()
