"""What threads and processes may do with hamlearn at the same time.

Some libraries underneath keep one stack, generator or setting for the whole process (NumPyro's and Pyro's handlers, torch's
default generator and number of threads, matplotlib's parsers): what leans on these runs inside :func:`alone`, so that the same
seed gives the same answer in any thread. Python's warning filters are one list per process too: what changes them for a moment runs
inside :func:`filtering`. And JAX and torch start threads of their own, which a forked child does not inherit
while it inherits their locks: there every verb refuses to start, where it would hang.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.abc
import importlib.machinery
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from hamlearn.errors import HamlearnError

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


class _Here:
    """What this process knows of itself."""

    lock = threading.RLock()
    filters = threading.RLock()  # of its own: a warning filter is changed for a moment, and a training takes an hour
    used = False  # a verb has run
    forked = False  # this process was forked from one in which a verb had run


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Inside, no other thread of this process is inside: the others wait. A thread may enter as often as it likes.

    Examples
    --------
    >>> with alone(), alone():
    ...     print("one at a time")
    one at a time
    """
    with _Here.lock:
        yield


@contextlib.contextmanager
def filtering() -> Iterator[None]:
    """Inside, warning filters (and matplotlib's settings) may be changed and put back; other threads wait until they are back.

    Where ``warnings.catch_warnings`` of two threads overlap, the one that ends last puts back what the other had set, for good: a
    filter of ArviZ that ignores every warning stayed behind. Whoever needs :func:`alone` too takes that first.

    Examples
    --------
    >>> import warnings
    >>> with filtering(), warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    """
    with _Here.filters:
        yield


def require_not_forked() -> None:
    """Refuse to work in a child that was forked after hamlearn had been used; every :func:`verb` begins with it.

    Raises
    ------
    HamlearnError
        If this process was forked from one in which a verb had run.

    Examples
    --------
    >>> require_not_forked()
    """
    if _Here.forked:
        raise HamlearnError(
            "this process was forked after hamlearn had started its libraries' threads, which a fork does not copy: it would hang. Start "
            "workers with multiprocessing.get_context('spawn') (or 'forkserver'), for example ProcessPoolExecutor(mp_context=...), use "
            "threads, or fork before the first call."
        )
    _Here.used = True


def verb(function: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    """What a user calls: it begins with :func:`require_not_forked`.

    Examples
    --------
    >>> @verb
    ... def add(a, b):
    ...     return a + b
    >>> add(1, 2)
    3
    """

    @functools.wraps(function)
    def checked(*arguments: Asked.args, **options: Asked.kwargs) -> Answer:
        require_not_forked()
        return function(*arguments, **options)

    return checked


class _TorchInTheMaking(importlib.abc.MetaPathFinder):
    """Gives torch, while it is being loaded, the class that others ask of it.

    SciPy asks in every thread whether an array is a ``torch.Tensor`` as soon as there is a module torch, and until one thread has loaded it
    whole that was an AttributeError in another. An empty class is the right answer: no array is one yet.
    """

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target) if fullname == "torch" else None
        if spec is not None and spec.loader is not None:
            spec.loader.create_module = _with_tensor  # type: ignore[method-assign]
        return spec


def _with_tensor(spec: Any) -> Any:
    module: Any = types.ModuleType(spec.name)
    module.Tensor = type("Tensor", (), {})  # until torch's own takes its place
    return module


def _in_child() -> None:
    _Here.lock, _Here.filters = threading.RLock(), threading.RLock()  # the threads that held the old ones do not exist here
    _Here.forked = _Here.forked or _Here.used


if "torch" not in sys.modules:
    sys.meta_path.insert(0, _TorchInTheMaking())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)

__all__ = ["alone", "filtering", "require_not_forked", "verb"]
