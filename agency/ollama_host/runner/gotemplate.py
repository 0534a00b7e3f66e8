"""The subset of Go's text/template that prompt templates are written in; what it lacks is refused, never guessed.

Actions: `range .Messages`, `range $i, $m := .Messages`, `if`, `else if`, `else`, `end`; pipelines of fields, `$`,
variables, strings, numbers, `eq ne and or not len`; trim markers. Source: https://pkg.go.dev/text/template
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WORD = re.compile(r'\s*("(?:\\.|[^"\\])*"|`[^`]*`|:=|[(),]|[^\s(),"`]+)')
FUNCTIONS = ("eq", "ne", "and", "or", "not", "len")
CONSTANTS = {"true": True, "false": False, "nil": None}
Words = tuple[str, ...]


class TemplateFault(ValueError):
    """The template cannot be read; the text is what a host would answer."""


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Print:
    words: Words


@dataclass(frozen=True, slots=True)
class Choice:
    words: Words
    then: tuple["Node", ...]
    otherwise: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Loop:
    variables: Words
    words: Words
    body: tuple["Node", ...]
    otherwise: tuple["Node", ...]


Node = Text | Print | Choice | Loop


@dataclass(frozen=True, slots=True)
class Template:
    nodes: tuple[Node, ...]
    source: str

    def mentions(self, field: str) -> bool:
        return re.search(rf"\.{field}\b", self.source) is not None

    def render(self, data: Mapping[str, Any]) -> str:
        return "".join(_Renderer(data).walk(self.nodes, data, {}))


def parse(source: str) -> Template:
    """Raises TemplateFault, with a sentence, for what is broken or outside the subset."""
    parser = _Parser(tuple(_pieces(source)))
    nodes, stop = parser.block(())
    if stop is not None:
        raise TemplateFault(f"template: :1: unexpected {{{{{stop}}}}}")
    return Template(nodes, source)


def _pieces(source: str) -> Iterator[Text | Words]:
    """Alternating text and the words of each action, trim markers applied."""
    position, trim = 0, False
    while (start := source.find("{{", position)) >= 0:
        end = source.find("}}", start)
        if end < 0:
            raise TemplateFault("template: :1: unclosed action")
        text, action = source[position:start], source[start + 2 : end]
        trim_left, trim_right = action.startswith("- "), action.endswith(" -")
        yield _text(text, trim, trim_left)
        if words := _words(action[2 if trim_left else 0 : -2 if trim_right else None]):
            yield words
        position, trim = end + 2, trim_right
    yield _text(source[position:], trim, False)


def _text(text: str, trim_start: bool, trim_end: bool) -> Text:
    text = text.lstrip() if trim_start else text
    return Text(text.rstrip() if trim_end else text)


def _words(action: str) -> Words:
    if action.strip().startswith("/*"):
        return ()
    words = tuple(WORD.findall(action))
    if "".join(words) != re.sub(r'\s+(?=(?:[^"`]*["`][^"`]*["`])*[^"`]*$)', "", action):
        raise TemplateFault("template: :1: unterminated quoted string")
    if not words:
        raise TemplateFault("template: :1: missing value for command")
    return words


@dataclass(slots=True)
class _Parser:
    pieces: tuple[Text | Words, ...]
    at: int = 0

    def block(self, stops: Words) -> tuple[tuple[Node, ...], str | None]:
        """Nodes up to one of the stops (`else`, `end`); the stop's whole action comes back with them."""
        nodes: list[Node] = []
        while self.at < len(self.pieces):
            piece = self.pieces[self.at]
            self.at += 1
            match piece:
                case Text():
                    nodes.append(piece)
                case ("else" | "end", *_):
                    return tuple(nodes), " ".join(piece)
                case _:
                    nodes.append(self.action(piece))
        if stops:
            raise TemplateFault("template: :1: unexpected EOF")
        return tuple(nodes), None

    def action(self, words: Words) -> Node:
        match words:
            case ("if", *rest):
                return self.choice(_checked(tuple(rest)))
            case ("range", *rest):
                return self.loop(tuple(rest))
            case ("with" | "define" | "template" | "block" | "break" | "continue", *_):
                raise TemplateFault(f'template: :1: "{words[0]}" is not supported by this host')
        if ":=" in words or "|" in words or "=" in words:
            raise TemplateFault("template: :1: assignments and pipes are not supported by this host")
        return Print(_checked(words))

    def choice(self, words: Words) -> Choice:
        then, stop = self.block(("else", "end"))
        if stop == "end":
            return Choice(words, then, ())
        if stop == "else":
            otherwise, _ = self.block(("end",))
            return Choice(words, then, otherwise)
        match tuple(WORD.findall(stop or "")):
            case ("else", "if", *rest):
                return Choice(words, then, (self.choice(_checked(tuple(rest))),))
        raise TemplateFault(f"template: :1: unexpected {{{{{stop}}}}}")

    def loop(self, words: Words) -> Loop:
        variables: Words = ()
        if ":=" in words:
            at = words.index(":=")
            variables, words = tuple(word for word in words[:at] if word != ","), words[at + 1 :]
        body, stop = self.block(("else", "end"))
        otherwise = self.block(("end",))[0] if stop == "else" else ()
        return Loop(variables, _checked(words), body, otherwise)


def _checked(words: Words) -> Words:
    for word in words:
        if word[0] not in '.$"`()' and word not in FUNCTIONS and not re.fullmatch(r"-?\d+|true|false|nil", word):
            raise TemplateFault(f'template: :1: function "{word}" not defined')
    return words


@dataclass(slots=True)
class _Renderer:
    root: Mapping[str, Any]

    def walk(self, nodes: Sequence[Node], dot: Any, names: dict[str, Any]) -> Iterator[str]:
        for node in nodes:
            match node:
                case Text(text):
                    yield text
                case Print(words):
                    yield _printed(self.value(words, dot, names))
                case Choice(words, then, otherwise):
                    yield from self.walk(then if self.value(words, dot, names) else otherwise, dot, names)
                case Loop():
                    yield from self.repeat(node, dot, names)

    def repeat(self, loop: Loop, dot: Any, names: dict[str, Any]) -> Iterator[str]:
        items = self.value(loop.words, dot, names) or ()
        if not items:
            yield from self.walk(loop.otherwise, dot, names)
        for index, item in enumerate(items):
            bound = dict(zip(loop.variables[-2:], (index, item)[-len(loop.variables) :], strict=False))
            yield from self.walk(loop.body, item, names | bound)

    def value(self, words: Words, dot: Any, names: dict[str, Any]) -> Any:
        arguments = list(self._arguments(words, dot, names))
        if words[0] in FUNCTIONS:
            return _call(words[0], arguments)
        return arguments[0]

    def _arguments(self, words: Words, dot: Any, names: dict[str, Any]) -> Iterator[Any]:
        at = 1 if words[0] in FUNCTIONS else 0
        while at < len(words):
            if words[at] == "(":
                end = _closing(words, at)
                yield self.value(words[at + 1 : end], dot, names)
                at = end + 1
            else:
                yield self.operand(words[at], dot, names)
                at += 1

    def operand(self, word: str, dot: Any, names: dict[str, Any]) -> Any:
        if word[0] in '"`':
            return word[1:-1].encode().decode("unicode_escape") if word[0] == '"' else word[1:-1]
        if word[0] not in ".$":
            return int(word) if word.lstrip("-").isdigit() else CONSTANTS[word]
        head, *fields = word.split(".")
        found = dot if not head else self.root if head == "$" else names.get(head)
        for name in filter(None, fields):
            found = found.get(name, "") if isinstance(found, Mapping) else ""
        return found


def _closing(words: Words, start: int) -> int:
    depth = 0
    for at in range(start, len(words)):
        depth += {"(": 1, ")": -1}.get(words[at], 0)
        if depth == 0:
            return at
    raise TemplateFault("template: :1: unclosed left paren")


def _call(function: str, arguments: list[Any]) -> Any:
    match function, arguments:
        case "eq", [first, *rest]:
            return any(first == other for other in rest)
        case "ne", [first, second]:
            return first != second
        case "and", [*values]:
            return next((value for value in values if not value), values[-1])
        case "or", [*values]:
            return next((value for value in values if value), values[-1])
        case "not", [value]:
            return not value
        case "len", [value]:
            return len(value)
    raise TemplateFault(f"template: :1: wrong number of args for {function}")


def _printed(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
