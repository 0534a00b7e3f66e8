"""Which arm answers a request: sticky by key, never by application."""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

BUCKETS = 10_000
HEAVY_SHARE = 0.05
_LEAST_TRAFFIC = 100  # below so many requests every key would look heavy


class KeySource(StrEnum):
    """Where a key came from, best first."""

    CONVERSATION = "conversation"
    SESSION = "session"
    USER = "user"
    PROMPT = "prompt"


@dataclass(frozen=True)
class AssignmentKey:
    """What a request is assigned by; the value is a digest, so that no user name is stored with the traffic."""

    source: KeySource
    value: str


def choose_key(conversation: str | None, session: str | None, user: str | None, prompt: str) -> AssignmentKey:
    """The conversation header, else the session or user field, else the prompt; empty values do not count.

    Never the API key: one application would go to one arm whole.
    """
    given = ((KeySource.CONVERSATION, conversation), (KeySource.SESSION, session), (KeySource.USER, user))
    for source, value in given:
        if value and value.strip():
            return AssignmentKey(source, _digest(source, value.strip()))
    return AssignmentKey(KeySource.PROMPT, _digest(KeySource.PROMPT, prompt))


def _digest(source: KeySource, value: str) -> str:
    return sha256(f"{source}|{value}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def bucket(pipeline: str, rollout: str, key: str) -> int:
    """0..9,999, even over keys and independent between rollouts."""
    return int.from_bytes(sha256(f"{pipeline}|{rollout}|{key}".encode()).digest()) % BUCKETS


def is_on_candidate(pipeline: str, rollout: str, key: str, share_bp: int) -> bool:
    """Whether the key belongs to the candidate at this share; raising the share never moves a key back."""
    return bucket(pipeline, rollout, key) < share_bp


def is_heavy(key_requests: int, all_requests: int) -> bool:
    """Whether the key carries more than 5 % of the traffic: it is not assigned, production answers it."""
    return all_requests >= _LEAST_TRAFFIC and key_requests > HEAVY_SHARE * all_requests
