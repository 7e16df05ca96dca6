"""Work in progress."""


def coverage() -> None:
    """Work in progress."""


def sbc() -> None:
    """Work in progress."""
