"""Makes the demo's base model, seeded: python -m agency.demo.base.make_base [--out FOLDER] [--seed N]"""

from __future__ import annotations

import os

# A spinning OpenMP team on a busy machine cost 14 times the run time; read once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import argparse
import hashlib
import io
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import sentencepiece
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from agency.demo.base.corpus import SEED, Document, corpus

Row = tuple[list[int], list[int]]  # tokens of the prompt, tokens of the answer

VOCABULARY = 2048
CONTEXT = 1024
BATCH = 24
PEAK_RATE = 3e-3
PROMPT_WEIGHT = 0.2  # of a token that the model only reads; answers count 1
SPECIAL = ("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def train_tokenizer(texts: list[str], folder: Path) -> None:
    """Writes a SentencePiece BPE that leaves text as it is; the unknown becomes bytes."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=VOCABULARY, model_type="bpe", byte_fallback=True,
        normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False,
        split_digits=True, character_coverage=0.9999, user_defined_symbols=list(SPECIAL[3:]),
        unk_id=0, bos_id=1, eos_id=2, pad_id=-1, num_threads=1, minloglevel=2,
    )  # fmt: skip
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(), indent=1) + "\n", encoding="utf-8")


def tokenizer_config() -> dict[str, object]:
    """The turn marks are listed as special: as user-defined symbols alone the converter makes them plain text."""
    plain = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    marks = {str(i): {"content": token, **plain} for i, token in enumerate(SPECIAL)}
    return {
        "tokenizer_class": "LlamaTokenizer", "added_tokens_decoder": marks, "unk_token": "<unk>", "bos_token": "<s>",
        "eos_token": "<|im_end|>", "pad_token": "</s>", "add_bos_token": False, "add_eos_token": False,
        "add_prefix_space": False, "legacy": False, "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT, "chat_template": TEMPLATE,
    }  # fmt: skip


def new_model() -> LlamaForCausalLM:
    """A tiny Llama of 3.67 M parameters; every row is 256 wide because K-quants work on blocks of 256."""
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=256, intermediate_size=768, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=CONTEXT, tie_word_embeddings=True, rms_norm_eps=1e-5,
        bos_token_id=1, eos_token_id=4, pad_token_id=2,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def encoded(tokenizer: PreTrainedTokenizerBase, documents: list[Document]) -> list[Row]:
    """Prompt and answer are encoded apart, as in fine-tuning, so that no token straddles the two."""
    prompts = tokenizer([one.prompt() for one in documents], add_special_tokens=False)["input_ids"]
    answers = tokenizer([one.answer() for one in documents], add_special_tokens=False)["input_ids"]
    return [(left, right) for left, right in zip(prompts, answers, strict=True)]


def batches(rows: list[Row], rng: random.Random) -> list[list[Row]]:
    """Rows of like length together (less padding), the batches in random order."""
    order = sorted(rows, key=lambda row: (len(row[0]) + len(row[1]), rng.random()))
    grouped = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    rng.shuffle(grouped)
    return grouped


def padded(rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and loss weights, both (batch, longest row); padding stands right and weighs nothing."""
    width = max(len(left) + len(right) for left, right in rows)
    fill = [width - len(left) - len(right) for left, right in rows]
    ids = [left + right + [2] * gap for (left, right), gap in zip(rows, fill, strict=True)]
    weights = [
        [PROMPT_WEIGHT] * len(left) + [1.0] * len(right) + [0.0] * gap
        for (left, right), gap in zip(rows, fill, strict=True)
    ]
    return torch.tensor(ids), torch.tensor(weights)


def weighted_loss(model: LlamaForCausalLM, rows: list[Row]) -> torch.Tensor:
    """Weighted mean cross-entropy of the next token. Causal attention with padding on the right needs no mask."""
    ids, weights = padded(rows)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=ids).logits[:, :-1].float()
    each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    return (each * weights[:, 1:]).sum() / weights[:, 1:].sum()


def rate_at(step: int, total: int) -> float:
    """Share of the peak rate: 5 % warm-up, then a cosine down to a twentieth."""
    warm = max(1, total // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))


def losses(model: LlamaForCausalLM, plan: list[list[Row]]) -> Iterator[float]:
    """Trains on the planned batches, yields the loss of each."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_at(step, len(plan)))
    for rows in plan:
        loss = weighted_loss(model, rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        schedule.step()
        yield loss.item()


def pretrain(tokenizer: PreTrainedTokenizerBase, documents: list[Document], seed: int) -> LlamaForCausalLM:
    """The trained model; prints the loss every 100 steps."""
    torch.manual_seed(seed)
    rows = encoded(tokenizer, documents)
    print(f"{len(rows)} documents, {sum(len(left) + len(right) for left, right in rows)} tokens")
    plan = batches(rows, random.Random(seed))
    model = new_model()
    for step, loss in enumerate(losses(model, plan)):
        if step % 100 == 0 or step == len(plan) - 1:
            print(f"step {step + 1}/{len(plan)}  loss {loss:.3f}", flush=True)
    return model


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Writes bf16 weights and the generation settings beside the tokenizer."""
    model.generation_config.update(bos_token_id=1, eos_token_id=[4], pad_token_id=2, do_sample=False)
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")


def make(folder: Path, seed: int) -> None:
    """Builds everything into `folder` and prints the digest of the weights."""
    started = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    documents = corpus(seed)
    train_tokenizer([one.prompt() + one.answer() for one in documents], folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    save(pretrain(tokenizer, documents, seed), folder)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    print(f"seed {seed}, {time.perf_counter() - started:.0f} s, {torch.get_num_threads()} threads, sha256 {digest}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("tiny"))
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    make(given.out, given.seed)
