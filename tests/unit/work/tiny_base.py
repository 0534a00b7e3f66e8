"""A tiny base model for tests: random weights, a real SentencePiece vocabulary, ChatML, Hugging Face layout."""

import json
from pathlib import Path

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
