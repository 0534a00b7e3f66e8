"""Writes a one-layer Llama with random weights: a model of 100 KB that loads and answers in milliseconds."""

from pathlib import Path

import gguf
import numpy as np

WIDTH, INNER, VOCABULARY, CONTEXT = 32, 64, 259, 256
# The comment keeps hosts from taking the template for one of their own (fewer than 100 edits away from a known one).
GUARD = "{#" + "§" * 128 + "#}"
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
GO_CHATML = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"


def write_model(path: Path, seed: int = 0, template: str = CHATML + GUARD, architecture: str = "llama") -> Path:
    """A F32 model with a byte vocabulary; other seeds give other bytes and other answers."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("model")
    writer.add_block_count(1)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_rope_dimension_count(WIDTH // 2)
    _add_tokenizer(writer, template)
    writer.add_quantization_version(2)
    writer.add_file_type(0)
    for name, shape in _shapes():
        writer.add_tensor(name, _weights(name, shape, seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: gguf.GGUFWriter, template: str) -> None:
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))])
    writer.add_token_scores([0.0] * VOCABULARY)
    writer.add_token_types([2, 3, 3, *([6] * 256)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(template)


def _shapes() -> list[tuple[str, tuple[int, ...]]]:
    """Names without `blk.` first, then by name: the canonical layout, which a host's rewrite leaves as it is."""
    square, wide, tall = (WIDTH, WIDTH), (INNER, WIDTH), (WIDTH, INNER)
    block = {"attn_k": square, "attn_norm": (WIDTH,), "attn_output": square, "attn_q": square, "attn_v": square}
    feed = {"ffn_down": tall, "ffn_gate": wide, "ffn_norm": (WIDTH,), "ffn_up": wide}
    inner = [(f"blk.0.{name}.weight", shape) for name, shape in (block | feed).items()]
    vocabulary = (VOCABULARY, WIDTH)
    return [("output.weight", vocabulary), ("output_norm.weight", (WIDTH,)), ("token_embd.weight", vocabulary), *inner]


def _weights(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    made = np.random.default_rng([seed, len(name), *name.encode()]).normal(0, 0.3, shape).astype(np.float32)
    if name == "output.weight":
        made[:3] = 0  # never the unknown, begin or end token: answers run to their limit
        made[3 : 3 + ord(" ")] = 0
    return made


def write_lora(path: Path, seed: int = 0, architecture: str = "llama") -> Path:
    """A LoRA of rank 2 over the queries and the output of `write_model`, strong enough to change its answers."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 64.0)
    numbers = np.random.default_rng(1000 + seed)
    for name in ("blk.0.attn_output.weight", "blk.0.ffn_down.weight"):
        width = INNER if "ffn_down" in name else WIDTH
        writer.add_tensor(f"{name}.lora_a", numbers.normal(size=(2, width)).astype(np.float32))
        writer.add_tensor(f"{name}.lora_b", numbers.normal(size=(WIDTH, 2)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
