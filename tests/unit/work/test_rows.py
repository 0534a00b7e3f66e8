"""Training rows: what is trained is what serving asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.trainers.rows import encode, read_conversations, tokenise

DEMO = Path(__file__).parents[3] / "agency" / "demo"


@pytest.mark.parametrize("client", ["heronbrook", "copperleaf"])
def test_a_row_begins_with_the_very_tokens_of_its_prompt(client: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(DEMO / "base" / "tiny")
    conversations = list(read_conversations(DEMO / "data" / client / "v1.jsonl"))
    rows, _left_out = tokenise(tokenizer, conversations, 512)
    for row, messages in zip(rows, conversations, strict=True):
        prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
        assert list(row.tokens[: row.answer_at]) == encode(tokenizer, prompt)
        assert tokenizer.decode(row.tokens[row.answer_at : -1]).strip() == messages[-1]["content"]
        assert row.tokens[-1] == tokenizer.eos_token_id
