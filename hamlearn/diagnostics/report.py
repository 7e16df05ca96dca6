"""Work in progress."""

from typing import Any


def report(post: Any, path: Any, prediction: Any = None, title: Any = None) -> Any:
    """Work in progress."""
