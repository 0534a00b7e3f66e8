"""Bundles: models that were made elsewhere. Hostile until proven: what is taken is allow-listed, the rest refuses."""

from pipelines.bundles.archives import Limits
from pipelines.bundles.names import BundleRefused
from pipelines.bundles.taking import Bundle, refuse_code, take

__all__ = ["Bundle", "BundleRefused", "Limits", "refuse_code", "take"]
