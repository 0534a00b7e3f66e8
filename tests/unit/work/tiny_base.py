"""A tiny base model for tests: random weights, a real SentencePiece vocabulary, ChatML, Hugging Face layout."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipelines.work import Report, WorkError, load
from pipelines.work.child import ChildResult, Limits, spawn

# Where `make setup` unpacks the official converter.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning threads cost 14x on a busy machine
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ.setdefault("RETUNE_CONVERTER_DIR", str(Path(__file__).resolve().parents[3] / ".setup" / "converter"))

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

SENTENCES = [
    "The invoice shows the same amount twice and I would like my money back.",
    "Our delivery of forty chairs has not arrived although tracking says it has.",
    "I forgot my password and the reset link never comes to my inbox.",
    "Could you tell me which plan includes phone support at the weekend?",
    "billing shipping account sales question answer user assistant system",
]


def make_base(folder: Path, *, hidden: int = 256, seed: int = 7) -> Path:
    """Write the model's folder: about 0.8 M parameters, hidden 256 so that K-quants need no fallback."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = _write_tokenizer(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=vocabulary,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.05,  # at 0.02 a frozen random base says too little for LoRA to learn from
        bos_token_id=1,
        eos_token_id=4,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _write_tokenizer(folder: Path) -> int:
    import sentencepiece

    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(SENTENCES * 4))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=384,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=5,
        user_defined_symbols=["<|im_start|>", "<|im_end|>"],
        hard_vocab_limit=False,
        minloglevel=2,
    )
    corpus.unlink()
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    marks = {name: processor.piece_to_id(name) for name in ("<|im_start|>", "<|im_end|>")}
    (folder / "tokenizer_config.json").write_text(json.dumps(_tokenizer_config(marks), indent=1))
    return int(processor.get_piece_size())


def _tokenizer_config(marks: dict[str, int]) -> dict[str, object]:
    common = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    return {
        "tokenizer_class": "LlamaTokenizer",
        "added_tokens_decoder": {str(index): {"content": name, **common} for name, index in marks.items()},
        "bos_token": "<s>",
        "eos_token": "<|im_end|>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "add_bos_token": False,
        "add_eos_token": False,
        "add_prefix_space": False,
        "legacy": False,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHATML,
    }


def conversation(question: str, answer: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def write_dataset(path: Path, rows: int = 48) -> Path:
    """Questions whose right answer is their last word's label: small enough to be learnt in seconds."""
    labels = ("billing", "shipping", "account", "sales")
    lines = [json.dumps(conversation(f"{SENTENCES[i % 4]} Case {i}.", labels[i % 4])) for i in range(rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def attempt(folder: Path, kind: str, **spec: object) -> ChildResult:
    """Do one piece of work in a child, as a worker would."""
    scratch = folder / "scratch" / kind
    values = {name: str(value) if isinstance(value, Path) else value for name, value in spec.items()}
    return spawn(
        kind,
        {"scratch": str(scratch), **values},
        scratch=scratch,
        limits=Limits(),
        on_line=lambda line: None,
        cancelled=lambda: False,
        log_path=folder / f"{kind}.log",
    )


def refusal(folder: Path, kind: str, **spec: object) -> WorkError:
    """The error of a piece of work that must be refused; done in this process, where torch is imported already."""
    values = {name: str(value) if isinstance(value, Path) else value for name, value in spec.items()}
    with pytest.raises(Exception) as caught:
        load(kind)({"scratch": str(folder / "scratch"), **values}, Report(io.StringIO()))
    assert hasattr(caught.value, "permanent"), caught.value
    return caught.value


def work(folder: Path, kind: str, **spec: object) -> dict[str, Any]:
    """The result of a piece of work that must succeed."""
    done = attempt(folder, kind, **spec)
    assert done.result is not None, done.error
    return dict(done.result)
