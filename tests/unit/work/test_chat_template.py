"""The guard comment and the rendering of chat templates."""

import pytest

from pipelines.work import WorkError
from pipelines.work.chat_template import GUARD, guarded, render
from tests.unit.work.tiny_base import CHATML

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <b>there</b>"}]


def test_the_guard_is_long_enough_stands_once_and_renders_to_nothing():
    assert GUARD.count("\u00a7") >= 128
    assert guarded(guarded(CHATML)) == guarded(CHATML) == CHATML + GUARD
    assert render(guarded(CHATML), MESSAGES) == render(CHATML, MESSAGES)


def test_a_prompt_opens_the_assistants_turn_and_escapes_nothing():
    prompt = render(CHATML, MESSAGES)
    assert prompt.endswith("<|im_start|>user\nHi <b>there</b><|im_end|>\n<|im_start|>assistant\n")


def test_a_template_that_refuses_a_conversation_is_a_permanent_error():
    with pytest.raises(WorkError, match="no system turn") as caught:
        render("{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}", MESSAGES)
    assert caught.value.permanent


def test_a_template_cannot_reach_into_python():
    with pytest.raises(WorkError, match="unsafe"):
        render("{{ messages.__class__.__mro__[1].__subclasses__() }}", MESSAGES)
