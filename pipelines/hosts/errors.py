"""What can go wrong with a host: down (retry) or refused (a person must act)."""


class HostError(Exception):
    """A sentence that says what to do; `permanent` says whether trying again can help."""

    permanent = True


class HostDown(HostError):
    """The host did not answer, or did not finish: trying again later is right."""

    permanent = False


class HostRefused(HostError):
    """The host (or our own rule) said no: the same call will be refused again."""


class HostLost(HostDown):
    """A connection broke while the host made a model, and nothing shows that the host lived on: a person looks first.

    One generation ends with every client's model on some files; sending the same again would end it again.
    """
