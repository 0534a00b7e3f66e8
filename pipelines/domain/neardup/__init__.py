"""Near duplicates: candidates by banded MinHash, every one verified by exact Jaccard."""

from pipelines.domain.neardup.lookup import Lookup
from pipelines.domain.neardup.pairs import NearPair, near_duplicates, sharing, verified
from pipelines.domain.neardup.signatures import BANDS, SIGNATURE_VERSION, Signatures, bands_of, sign

__all__ = [
    "BANDS",
    "SIGNATURE_VERSION",
    "Lookup",
    "NearPair",
    "Signatures",
    "bands_of",
    "near_duplicates",
    "sharing",
    "sign",
    "verified",
]
