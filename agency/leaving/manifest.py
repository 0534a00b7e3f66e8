"""What an archive says of itself, last in it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from agency.backup.manifest import SelfDescription, parsed
from agency.leaving.tar import Tar

NAME = "manifest.json"
FORMAT = "retune-client-1"


class Told(BaseModel):
    """Of one client: how many rows of each table, and where its ledger ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    rows: dict[str, int]
    acts: int
    head: str


class Manifest(SelfDescription):
    clients: dict[str, Told]


def describe(tar: Tar, told: dict[str, Any]) -> Manifest:
    return Manifest(format=FORMAT, made_at=tar.now, clients=told, pieces=dict(tar.pieces))


def read(body: bytes) -> Manifest:
    return parsed(body, Manifest, FORMAT)
