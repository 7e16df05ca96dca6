"""The kind of :class:`hamlearn.models.Couplings`: pair interactions with unknown strengths."""

from __future__ import annotations

import numpy as np
import xarray as xr

from hamlearn.infer import kinds, tree
from hamlearn.infer.learn import learn
from hamlearn.systems.base import System

__all__ = ["learn", "members", "parameters"]


def members(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """Pair systems drawn from the posterior; on another lattice where the parameters are tied."""
    bound = tree.bound_of(post)
    lattice = None if shape is None else bound.lattice.resized(shape)
    return [bound.system(theta, lattice) for theta in kinds.spread(tree.theta_draws(post), n, seed)]


def parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """θ: tied couplings once, tables by their free part."""
    return tree.bound_of(post).parameter_names, tree.theta_draws(post)
