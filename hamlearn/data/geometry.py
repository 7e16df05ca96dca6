"""What microstates declare of the places of their sites: whether they close periodically, and how far apart slices of a path are.

This is all that learning may know of where data came from. The description of a simulated system in the attribute ``system`` is its
origin and never read for it, but for files written before data declared their geometry.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import xarray as xr

from hamlearn.arguments import require_flag, shown
from hamlearn.errors import HamlearnError
from hamlearn.progress import logger


def declared(periodic: Any = None, spacing: Any = None) -> dict[str, int | float]:
    """Attributes that declare a geometry; what is None is not declared.

    Examples
    --------
    >>> declared(periodic=True, spacing=0.1)
    {'periodic': 1, 'spacing': 0.1}
    """
    found: dict[str, int | float] = {}
    if periodic is not None:
        require_flag(periodic, "periodic")
        found["periodic"] = int(periodic)
    if spacing is not None:
        if not _positive(spacing):
            raise HamlearnError(f"spacing is the width of a time slice, a finite number > 0; got {shown(spacing)}.")
        found["spacing"] = float(spacing)
    return found


def periodic(data: xr.Dataset) -> bool | None:
    """Whether the sites close periodically; None where the data do not say."""
    return bool(data.attrs["periodic"]) if "periodic" in data.attrs else None


def spacing(data: xr.Dataset) -> float | None:
    """The width of a time slice; None where the data do not say."""
    return float(data.attrs["spacing"]) if "spacing" in data.attrs else None


def require_geometry(attrs: Mapping[Any, Any]) -> None:
    """An error if declared geometry is none."""
    if "periodic" in attrs and attrs["periodic"] not in (0, 1):
        raise HamlearnError(f"the attribute 'periodic' is 0 or 1; got {shown(attrs['periodic'])}.")
    if "spacing" in attrs and not _positive(attrs["spacing"]):
        raise HamlearnError(f"the attribute 'spacing' is a finite number > 0; got {shown(attrs['spacing'])}.")


def with_geometry(data: xr.Dataset) -> xr.Dataset:
    """`data`; from a file written before geometry was declared, a copy that declares what its system's description says, and a word."""
    if "periodic" in data.attrs or "spacing" in data.attrs or "system" not in data.attrs:
        return data
    system = json.loads(str(data.attrs["system"]))
    lattice, path = system.get("lattice"), system.get("kind") == "path"
    closed = lattice.get("periodic") if isinstance(lattice, dict) else system.get("periodic", True) if path else None
    width = system.get("a") if path else None
    found = declared(closed if isinstance(closed, bool) else None, width if _positive(width) else None)
    if not found:
        return data
    told = ", ".join(f"{name}={value}" for name, value in found.items())
    logger.info("these microstates were written before data declared their geometry: %s is taken from their description", told)
    return data.assign_attrs(found)


def _positive(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(float(value)) and float(value) > 0
    except (TypeError, ValueError):
        return False
