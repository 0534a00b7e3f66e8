"""The one refusal: a sentence that says why, and what to do."""


class ActionRefused(Exception):
    """What was asked cannot be done now. Nothing was changed."""

    permanent = True
