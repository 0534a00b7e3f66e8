"""Go templates that a host puts in the place of a GGUF's Jinja template which looks like one it knows."""

from dataclasses import dataclass

EDITS_THAT_STILL_MATCH = 100


@dataclass(frozen=True, slots=True)
class Known:
    """`jinja` is what a template is compared with, `go` and `stops` are what a model that matches gets."""

    name: str
    jinja: str
    go: str
    stops: tuple[str, ...]


# Real hosts know 37; the models that are made here only ever come near this one.
KNOWN = (
    Known(
        "chatml",
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' "
        "+ '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n",
        ("<|im_start|>", "<|im_end|>"),
    ),
)


def detect(source: str) -> Known | None:
    """The known template that is fewer than 100 edits away, or None."""
    limit = EDITS_THAT_STILL_MATCH
    return next((known for known in KNOWN if source and edits(source, known.jinja, limit) < limit), None)


def edits(one: str, other: str, limit: int) -> int:
    """Levenshtein distance, or `limit` as soon as it cannot be smaller."""
    if abs(len(one) - len(other)) >= limit:
        return limit
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        corner, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (a != b))
        if min(row) >= limit:
            return limit
    return row[-1]
