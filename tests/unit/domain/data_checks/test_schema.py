"""Rows: every rule with its pointer, canonical content and digests."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.data_checks import Example, Layout, RowProblem, RowRule, parse_line, parse_row

ASK, ANSWER = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
SYSTEM = {"role": "system", "content": "be brief"}


def chat(*messages: object) -> dict[str, object]:
    return {"messages": list(messages)}


@pytest.mark.parametrize(
    "row",
    [chat(ASK, ANSWER), chat(SYSTEM, ASK, ANSWER), chat(ASK, ANSWER, ASK, ANSWER), {"input": "hi", "output": "hello"}],
)
def test_whole_rows_are_examples(row: object) -> None:
    example = parse_row(row)
    assert isinstance(example, Example)
    assert (example.prompt, example.answer) == ("hi", "hello")


@pytest.mark.parametrize(
    ("row", "rule", "pointer"),
    [
        ([1], RowRule.OBJECT, ""),
        ({}, RowRule.LAYOUT, ""),
        ({"messages": "hi"}, RowRule.TYPE, "/messages"),
        (chat(), RowRule.EMPTY, "/messages"),
        (chat("hi"), RowRule.TYPE, "/messages/0"),
        (chat({"role": "robot", "content": "x"}), RowRule.ROLE, "/messages/0/role"),
        (chat({"role": ["user"], "content": "x"}), RowRule.ROLE, "/messages/0/role"),
        (chat(ASK, {"role": "assistant"}), RowRule.TYPE, "/messages/1/content"),
        (chat(ASK, {"role": "assistant", "content": " \n"}), RowRule.EMPTY, "/messages/1/content"),
        (chat(ASK, ASK, ANSWER), RowRule.ALTERNATION, "/messages/1/role"),
        (chat(ANSWER), RowRule.ALTERNATION, "/messages/0/role"),
        (chat(ASK, SYSTEM, ANSWER), RowRule.ALTERNATION, "/messages/1/role"),
        (chat(SYSTEM, ASK), RowRule.ENDS_WITH_ASSISTANT, "/messages/1"),
        (chat(SYSTEM), RowRule.ENDS_WITH_ASSISTANT, "/messages/0"),
        ({"input": "hi"}, RowRule.TYPE, "/output"),
        ({"input": 3, "output": "x"}, RowRule.TYPE, "/input"),
        ({"input": "a\0b", "output": "x"}, RowRule.CHARACTERS, "/input"),
        ({"input": "a", "output": "\ud800"}, RowRule.CHARACTERS, "/output"),
    ],
)
def test_broken_rows_name_their_rule_and_place(row: object, rule: RowRule, pointer: str) -> None:
    problem = parse_row(row)
    assert isinstance(problem, RowProblem)
    assert (problem.rule, problem.pointer) == (rule, pointer)


@pytest.mark.parametrize(
    ("row", "layout"), [(chat(ASK, ANSWER), Layout.COMPLETION), ({"input": "a", "output": "b"}, Layout.CHAT)]
)
def test_the_other_layout_is_refused(row: object, layout: Layout) -> None:
    problem = parse_row(row, layout)
    assert isinstance(problem, RowProblem)
    assert problem.rule is RowRule.LAYOUT


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("{", RowRule.JSON),
        (b"\xff\xfe\x00x", RowRule.CHARACTERS),
        ("[" * 200_000, RowRule.JSON),
        ('{"input": "a", "output": "\\ud800"}', RowRule.CHARACTERS),
    ],
)
def test_lines_that_are_no_rows(line: str | bytes, rule: RowRule) -> None:
    problem = parse_line(line)
    assert isinstance(problem, RowProblem)
    assert problem.rule is rule


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_nothing_makes_the_parser_raise(row: object) -> None:
    assert isinstance(parse_row(row), Example | RowProblem)
    assert isinstance(parse_row({"messages": row}), Example | RowProblem)
    assert isinstance(parse_row({"messages": [row], "input": row, "output": row}), Example | RowProblem)


def example(row: object) -> Example:
    parsed = parse_row(row)
    assert isinstance(parsed, Example)
    return parsed


def test_the_same_content_has_the_same_digest() -> None:
    one = example({"input": "caf\u00e9 \r\nnow", "output": "yes", "source": "a"})
    two = example({"output": "yes ", "input": "cafe\u0301\nnow"})
    assert one.content_digest == two.content_digest
    assert one.content_digest != example({"input": "caf\u00e9", "output": "yes"}).content_digest


def test_a_completion_equals_the_chat_of_the_same_two_turns() -> None:
    assert example(chat(ASK, ANSWER)).content_digest == example({"input": "hi", "output": "hello"}).content_digest


def test_the_same_input_with_another_answer_is_a_conflict() -> None:
    one, two = example({"input": "hi", "output": "a"}), example({"input": "hi", "output": "b"})
    assert one.input_digest == two.input_digest
    assert one.content_digest != two.content_digest


def test_the_system_prompt_is_left_out_of_near_duplicates() -> None:
    assert example(chat(SYSTEM, ASK, ANSWER)).near_text == example(chat(ASK, ANSWER)).near_text == "hi\nhello"


def test_a_digest_is_stable_across_machines() -> None:
    digest = example(json.loads('{"input": "hi", "output": "hello"}')).content_digest
    assert digest == "8ba09e74ddca9dcb8953c08cc0f30bfd9ba241bed7505de235dbec7753954900"
