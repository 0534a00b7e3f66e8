"""The one refusal of a file: a sentence that says what is wrong and what to do."""


class BadFile(ValueError):
    """The file cannot be read as it is. Nothing of it was kept."""

    permanent = True
