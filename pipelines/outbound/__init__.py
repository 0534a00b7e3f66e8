"""The one door through which the product calls out: by rules, and to the very address that was judged."""

from pipelines.outbound.access import Access, AccessRefused
from pipelines.outbound.errors import OutboundRefused
from pipelines.outbound.names import check_url

__all__ = ["Access", "AccessRefused", "OutboundRefused", "check_url"]
