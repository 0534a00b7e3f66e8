"""Model names: `[host/][namespace/]model[:tag]`, their limits, defaults and shortest form."""

import re
from dataclasses import dataclass

DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG = "registry.ollama.ai", "library", "latest"
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True, slots=True)
class Name:
    host: str
    namespace: str
    model: str
    tag: str

    @property
    def parts(self) -> tuple[str, str, str, str]:
        return self.host, self.namespace, self.model, self.tag

    @property
    def short(self) -> str:
        """The shortest form that still names it; it always has a tag."""
        tail = f"{self.model}:{self.tag}"
        if self.host != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{tail}"
        return tail if self.namespace == DEFAULT_NAMESPACE else f"{self.namespace}/{tail}"

    @property
    def is_cloud(self) -> bool:
        """Whether the tag would make a real host send requests to its maker's cloud."""
        return self.tag == "cloud" or self.tag.endswith("-cloud")


def parse(text: str) -> Name | None:
    """The name with its defaults filled in, or None where it is not a valid one."""
    path, _, last = text.rpartition("/")
    model, colon, tag = last.partition(":")
    parts = path.split("/") if path else []
    if len(parts) > 2 or (colon and not tag):
        return None
    host = parts[0] if len(parts) == 2 else DEFAULT_HOST
    namespace = parts[-1] if parts else DEFAULT_NAMESPACE
    name = Name(host, namespace, model, tag or DEFAULT_TAG)
    rules = (HOST, NAMESPACE, PART, PART)
    return name if all(rule.fullmatch(part) for rule, part in zip(rules, name.parts, strict=True)) else None


def without_local(text: str) -> str:
    """A `:local` tag is dropped on use (but not on create, which is why such a name can never be reached)."""
    return text.removesuffix(":local")
