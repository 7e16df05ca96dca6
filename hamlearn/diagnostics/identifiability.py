"""Work in progress."""


def identifiability() -> None:
    """Work in progress."""
