"""Many answers side by side are those of one after the other."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.work.inference.answers import LoopEngine
from pipelines.work.inference.batch import BatchEngine, sequences_for
from pipelines.work.inference.cases import Case
from pipelines.work.inference.decoding.guesses import Guesses
from pipelines.work.inference.manner import Manner
from pipelines.work.inference.model import Loading, LocalModel
from pipelines.work.report import WorkError
from tests.unit.work.test_evaluate import LABELS
from tests.unit.work.tiny_base import SENTENCES

SMOLLM2 = Path(__file__).resolve().parents[3] / "var" / "bases" / "smollm2"


def cases(count, expected=None, system="", max_tokens=12):
    """Prompts of very different lengths, so that they begin and end at different steps."""
    said = [{"role": "system", "content": system}] if system else []
    texts = [" ".join(SENTENCES[(n + k) % 4] for k in range(1 + n % 5)) + f" Case {n}." for n in range(count)]
    return [
        Case(f"c{n}", [*said, {"role": "user", "content": text}], expected or {}, "label", max_tokens)
        for n, text in enumerate(texts)
    ]


def side_by_side(path, asked, manner=None, context=2048, sequences=10):
    with LocalModel(path, Loading(context_tokens=context, sequences=sequences, exact=True)) as model:
        return {case.id: answer for case, answer in BatchEngine(model, manner or Manner()).answers(asked)}


def one_by_one(path, asked, manner=None, exact=True):
    with LocalModel(path, Loading(exact=exact)) as model:
        return {case.id: answer for case, answer in LoopEngine(model, manner or Manner()).answers(asked)}


def said(answers):
    return {name: (answer.text, answer.tokens, answer.finish) for name, answer in answers.items()}


@pytest.mark.parametrize("system", ["", "Answer with one word. " * 6])
def test_a_base_that_rambles_gives_the_same_tokens_side_by_side(line, system):
    asked = cases(30, system=system)
    assert said(side_by_side(line.base_q4, asked)) == said(one_by_one(line.base_q4, asked))


def test_right_and_wrong_guesses_change_no_token(line):
    asked = [*cases(12, {"label": "billing", "labels": list(LABELS)}), *cases(24, {"label": "sales"})[12:]]
    found = said(side_by_side(line.q4, asked))
    assert found == said(one_by_one(line.q4, asked))
    assert len(set(found.values())) > 1


def test_a_context_with_room_for_few_answers_gives_them_one_after_the_other(line):
    asked = cases(20)
    assert said(side_by_side(line.base_q4, asked, context=256)) == said(one_by_one(line.base_q4, asked))


def test_a_tokens_logits_are_the_same_bits_in_every_company(line):
    with LocalModel(line.q4, Loading(exact=True, sequences=6)) as model:
        prompt = model.tokenise(model.render([{"role": "user", "content": SENTENCES[0]}]))
        alone = model.logits(prompt)
        model.forget()
        for sequence, filling, tokens in ((1, 4, prompt[:7]), (2, 5, prompt), (3, 0, prompt[:13])):
            model.batch.clear()
            for at, token in enumerate(tokens):
                row = model.batch.add(token, at, sequence, wants_logits=True)
            for at in range(sequence):
                model.batch.add(prompt[0], at, filling, wants_logits=False)
            model.batch.decode(model.context)
            if sequence == 2:
                np.testing.assert_array_equal(model.logits_of(row), alone)


def test_an_enforced_schema_ends_with_its_object(line):
    import json

    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    manner, asked = Manner(schema=schema), cases(3, max_tokens=64)
    found = side_by_side(line.base_q4, asked, manner)
    assert said(found) == said(one_by_one(line.base_q4, asked, manner))
    assert all(isinstance(json.loads(answer.text)["a"], bool) for answer in found.values())
    assert {answer.finish for answer in found.values()} == {"stop"}


def test_a_schema_that_no_grammar_can_say_is_refused_with_a_sentence(line):
    manner = Manner(schema={"$ref": "https://example.com/schema.json"})
    with pytest.raises(WorkError, match="cannot be enforced"):
        side_by_side(line.base_q4, cases(1), manner)


def test_stop_texts_and_a_baked_system_prompt_count_as_on_a_host(line):
    asked = cases(4)
    plain = one_by_one(line.base_q4, asked)
    first = plain["c0"].text
    stop = first[1:3]
    cut = side_by_side(line.base_q4, asked, Manner(stop=(stop,)))
    assert cut["c0"].text == first[: first.index(stop)]
    baked = side_by_side(line.base_q4, asked, Manner(system="Answer with one word."))
    assert said(baked) == said(one_by_one(line.base_q4, cases(4, system="Answer with one word.")))


def letters():
    return Guesses(lambda text: [ord(letter) for letter in text])


def test_guesses_follow_what_is_expected_then_the_label_that_is_left():
    guesses = letters()
    expected = guesses.expected({"label": "outage", "labels": ["outage", "slow", "sloth"]})
    assert bytes(guesses.guess(expected, [], 20)) == b"outage"
    assert bytes(guesses.guess(expected, list(b"out"), 2)) == b"ag"
    assert guesses.guess(expected, list(b"s"), 20) == list(b"lo")
    assert bytes(guesses.guess(expected, list(b"slow"[:4]), 20)) == b""
    assert guesses.guess(expected, list(b"x"), 20) == []


def test_guesses_that_the_model_does_not_follow_end():
    guesses = letters()
    guesses.tell(300, 10)
    assert guesses.guess(list(b"yes"), [], 20) == []


@pytest.mark.skipif(not (SMOLLM2 / "config.json").is_file(), reason="SmolLM2 is fetched by `make smollm2`")
def test_a_real_model_gives_the_same_free_answers_side_by_side(tmp_path):
    from tests.unit.work.tiny_base import work

    work(tmp_path, "convert", base=SMOLLM2, adapter=None, out=tmp_path / "f16.gguf")
    work(tmp_path, "quantise", source=tmp_path / "f16.gguf", out=tmp_path / "q4.gguf")
    asked = cases(8, system="Answer in a few words.", max_tokens=8)
    found = side_by_side(tmp_path / "q4.gguf", asked, sequences=sequences_for(135_000_000))
    assert said(found) == said(one_by_one(tmp_path / "q4.gguf", asked))
