"""What the door refuses."""


class OutboundRefused(Exception):
    """An address that may not be called, with the rule and what to do about it. Trying again does not help."""

    permanent = True
