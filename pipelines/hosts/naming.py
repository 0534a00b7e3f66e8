"""Names on hosts: a version's immutable tag, the production alias, and the tags that would leave the host."""

import re

from pipelines.hosts.errors import HostRefused

# A host part that can never resolve: no name of ours can be pulled by accident or collide with a public library.
REGISTRY = "deploy.invalid"
PRODUCTION = "production"
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
TAG = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,79}")


def model_name(client_slug: str, pipeline_slug: str, number: int) -> str:
    """`deploy.invalid/<client>/<pipeline>:v<number>`; raises HostRefused for a slug or number that cannot be one."""
    if number < 1:
        raise HostRefused(f"{number} is no version number: the first version is 1")
    return _name(client_slug, pipeline_slug, f"v{number}")


def alias_name(client_slug: str, pipeline_slug: str, alias: str = PRODUCTION) -> str:
    """The moving name beside the versions. Raises HostRefused for a tag that a host treats specially."""
    return _name(client_slug, pipeline_slug, alias)


def is_ours(name: str) -> bool:
    """Whether a name on a host can be one of ours at all; anything else is never touched."""
    return name.startswith(f"{REGISTRY}/")


def _name(client_slug: str, pipeline_slug: str, tag: str) -> str:
    for slug in (client_slug, pipeline_slug):
        if not SLUG.fullmatch(slug):
            raise HostRefused(f"{slug!r} cannot stand in a model name: use up to 80 of a-z, 0-9 and -")
    check_tag(tag)
    return f"{REGISTRY}/{client_slug}/{pipeline_slug}:{tag}"


def check_tag(tag: str) -> None:
    """`cloud` and `*-cloud` make requests leave for the maker's cloud; `local` makes a name nobody can reach."""
    if tag in ("cloud", "local") or tag.endswith("-cloud"):
        raise HostRefused(f"The tag {tag!r} is reserved by hosts: choose another")
    if not TAG.fullmatch(tag):
        raise HostRefused(f"{tag!r} is no tag: use up to 80 of a-z, 0-9, _, . and -")
