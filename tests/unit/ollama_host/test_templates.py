"""Prompt templates: the Go subset, the GGUF's Jinja, and the ones a host puts in their place."""

import pytest

from agency.ollama_host.runner import gotemplate
from agency.ollama_host.runner.known_templates import KNOWN, detect, edits
from agency.ollama_host.runner.prompt import RenderFault, render_go, render_jinja
from tests.unit.ollama_host.tiny_gguf import CHATML, GO_CHATML, GUARD

CHAT = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello <you> & me"},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "Bye"},
]
RENDERED = (
    "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello <you> & me<|im_end|>\n"
    "<|im_start|>assistant\nHi.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
)


def test_go_and_jinja_chatml_render_the_same_prompt() -> None:
    assert render_go(GO_CHATML, CHAT) == RENDERED
    assert render_jinja(CHATML + GUARD, CHAT, "<s>", "</s>") == RENDERED


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a {{- 1 }} b", "a1 b"),
        ("a {{ 1 -}} b", "a 1b"),
        ("{{/* a comment */}}x", "x"),
        ("{{ if .System }}S:{{ .System }}{{ else }}none{{ end }}", "S:Be kind."),
        ("{{ if .Tools }}T{{ else if .System }}S{{ else }}N{{ end }}", "S"),
        ("{{ if and .System (eq 1 1) }}both{{ end }}", "both"),
        ("{{ if or .Tools (not .System) }}x{{ else }}y{{ end }}", "y"),
        ('{{ range .Messages }}{{ if eq .Role "user" }}[{{ .Content }}]{{ end }}{{ end }}', "[Hello <you> & me][Bye]"),
        ("{{ range $i, $m := .Messages }}{{ $i }}{{ $m.Role }} {{ end }}", "0system 1user 2assistant 3user "),
        ("{{ range .Messages }}{{ $.System }}|{{ end }}", "Be kind.|" * 4),
        ('{{ range .Messages }}{{ end }}{{ "a\\nb" }}', "a\nb"),
        ("{{ len .Messages }}", "4"),
    ],
)
def test_the_go_subset_renders_as_go_does(source: str, text: str) -> None:
    template = gotemplate.parse(source)
    rows = [{"Role": m["role"], "Content": m["content"]} for m in CHAT]
    assert template.render({"Messages": rows, "System": "Be kind."}) == text


def test_a_template_without_messages_runs_once_per_turn() -> None:
    source = "{{ if .System }}<{{ .System }}>{{ end }}Q:{{ .Prompt }} A:{{ .Response }};"
    assert render_go(source, CHAT) == "<Be kind.>Q:Hello <you> & me A:Hi.;Q:Bye A:;"


@pytest.mark.parametrize(
    "source",
    ["{{ .Prompt ", "{{ if .A }}x", "{{ }}", "{{ end }}", '{{ template "x" }}', "{{ $x := 1 }}", "{{ shout .A }}"],
)
def test_what_the_subset_lacks_is_refused_and_never_guessed(source: str) -> None:
    with pytest.raises(gotemplate.TemplateFault):
        gotemplate.parse(source)


def test_a_jinja_template_cannot_leave_its_sandbox() -> None:
    with pytest.raises(RenderFault):
        render_jinja("{{ messages.__class__.__mro__[1].__subclasses__() }}", CHAT, "", "")


def test_a_template_may_refuse_messages_with_its_own_words() -> None:
    with pytest.raises(RenderFault, match="roles must alternate"):
        render_jinja("{{ raise_exception('roles must alternate') }}", CHAT, "", "")


@pytest.mark.parametrize(
    ("one", "other", "distance"), [("", "", 0), ("abc", "abc", 0), ("kitten", "sitting", 3), ("abc", "", 3)]
)
def test_edit_distance_of_known_pairs(one: str, other: str, distance: int) -> None:
    assert edits(one, other, 100) == edits(other, one, 100) == distance


def test_a_template_near_a_known_one_is_replaced_and_the_guard_prevents_it() -> None:
    assert detect(CHATML) is KNOWN[0]
    assert detect(CHATML + GUARD) is None
    assert detect("") is None
