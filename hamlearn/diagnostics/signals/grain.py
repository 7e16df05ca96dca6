"""Whether real numbers were rounded, clipped or filled in: values that different sites share, which a density never draws twice."""

from __future__ import annotations

import numpy as np

from hamlearn.diagnostics.signals.view import Signal, View

SITES = 4  # that share a value: float32 makes two sites agree by chance, four next to never
SHARE = 0.0003  # of all values that are such: 0.14 % clipped at three standard deviations move coefficients by two of their errors
COARSE = 0.1  # of the scatter between neighbouring sites, that the distance between values may have: finer rounding changes nothing
_VALUES = 50_000


def find(view: View) -> list[Signal]:
    """A finding if many sites share values and these lie far apart, or one of them is frequent."""
    if not view.space.unbounded:
        return []
    flat = view.rows.reshape(-1, view.rows.shape[-1])
    flat = flat[:: max(1, flat.size // _VALUES)]
    flat = flat[:, np.ptp(flat, axis=0) > 0]  # ends held fixed
    sites = flat.shape[1]
    if sites < SITES:
        return []
    each = [np.unique(column) for column in flat.T]
    values, number = np.unique(np.concatenate(each), return_counts=True)
    atoms = values[number >= SITES]
    inside = np.isin(flat, atoms)
    if inside.mean() < SHARE:
        return []
    scatter = float(np.diff(flat, axis=1).std())
    frequent, counts = np.unique(flat[inside], return_counts=True)
    gap = float(np.median(np.diff(atoms))) if len(atoms) > 1 else 0.0
    often = frequent[counts > SHARE * flat.size]
    rounded = inside.mean() > 0.9
    if (rounded and gap < COARSE * scatter) or (not rounded and not len(often)):
        return []
    found = f"values {gap:.3g} apart" if rounded else f"{', '.join(f'{value:.6g}' for value in often[:3])} again and again"
    what = (
        f"the numbers were rounded, clipped or filled in{view.label}: {inside.mean():.1%} of them are {found}, at many sites alike, where "
        "a density draws no value twice; the action of what was recorded is not that of the system"
    )
    advice = "Give the numbers as they were, with all their digits; leave out microstates with values that were clipped or filled in."
    return [Signal("serious", "values", what, advice, float(inside.mean()), 0.0, gap / max(scatter, 1e-300))]
