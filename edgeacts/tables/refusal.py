"""What a function without a table says."""

from edgeacts.errors import EdgeactsError


class NotTabulated(EdgeactsError):
    """There is no table within the bound; the message says why. The function's own body is used instead."""
