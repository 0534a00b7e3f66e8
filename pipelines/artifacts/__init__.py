"""Everything that runs make and versions are: kept by content, per client, whole or absent, checked before use."""

from pipelines.artifacts.store import (
    ArtifactDamaged,
    ArtifactMissing,
    Store,
    StoreFull,
    damaged,
    digest_of,
    parts_of,
    scratch_of,
    store_of,
    wipe_scratch,
)

__all__ = [
    "ArtifactDamaged",
    "ArtifactMissing",
    "Store",
    "StoreFull",
    "damaged",
    "digest_of",
    "parts_of",
    "scratch_of",
    "store_of",
    "wipe_scratch",
]
