"""Zarr folders."""

from __future__ import annotations

import os
from pathlib import Path

import xarray as xr

from hamlearn.storage.writing import beside, failing, require_folder, sync, sync_folder


def write(data: xr.Dataset | xr.DataTree, target: Path) -> Path:
    """Write a Dataset or DataTree as a Zarr folder, whole or not at all."""
    require_folder(target)
    with failing(target), beside(target) as folder:
        temporary = folder / target.name
        data.to_zarr(temporary, zarr_format=2, consolidated=False)
        sync(temporary)
        _move_onto(temporary, target)
        sync_folder(target.parent)
    return target


def _move_onto(temporary: Path, target: Path) -> None:
    if not target.is_dir():
        os.replace(temporary, target)
        return
    old = temporary.with_name(f"{target.name}.old")  # a folder cannot be replaced in one step: move the old one aside first
    os.replace(target, old)
    try:
        os.replace(temporary, target)
    except OSError:
        os.replace(old, target)
        raise
