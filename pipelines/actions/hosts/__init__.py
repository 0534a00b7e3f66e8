"""What people decide about hosts and what runs on them."""

from pipelines.actions.hosts.adopting import IMPOSSIBLE, adopt
from pipelines.actions.hosts.terms import drain, sealed, set_access, set_terms, undrain

__all__ = ["IMPOSSIBLE", "adopt", "drain", "sealed", "set_access", "set_terms", "undrain"]
