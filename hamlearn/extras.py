"""Packages that are not installed with the core: which extra brings them, and the one line where they are missing.

Whatever needs such a package asks :func:`require` first. What neural densities are made of lies in two folders,
``models/densities/`` and ``infer/engines/neural/``, which ask when they are imported: so every way to a network asks. What is
written and read goes through two doors of ``storage/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from hamlearn.errors import HamlearnError


@dataclass(frozen=True)
class Extra:
    """Packages that an extra of the distribution installs.

    Attributes
    ----------
    what : str
        What cannot be done without it.
    modules : tuple of str
        What it is imported as.
    """

    what: str
    modules: tuple[str, ...]


EXTRAS = {
    "neural": Extra("neural densities (Autoregressive, Flow, DCL, approximate)", ("torch", "pyro")),
    "zarr": Extra("folders that end in .zarr", ("zarr",)),
    "sklearn": Extra("estimators (hamlearn.estimator) and support-vector machines", ("sklearn",)),
}


def require(name: str) -> None:
    """Do nothing if the packages of an extra are installed; nothing is imported.

    Raises
    ------
    HamlearnError
        If one of them is missing, with the command that installs it.

    Examples
    --------
    >>> from hamlearn import extras
    >>> extras.require("neural")
    """
    missing = [module for module in EXTRAS[name].modules if find_spec(module) is None]
    if missing:
        raise HamlearnError(
            f"{EXTRAS[name].what} need {' and '.join(missing)}, not installed here: "
            f'pip install "hamlearn[{name}]", or in a checkout pip install -c constraints.txt -e ".[{name}]".'
        )
