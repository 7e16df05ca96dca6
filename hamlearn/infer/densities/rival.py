"""A fit of another kind beside learned densities, and whether held-out microstates prefer it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hamlearn.infer.densities.recalibration import tilt

_MOST = 100  # pair products that the fit is given, those that differ most
_STANDS_OUT = 2.5  # standard errors of the difference between microstates and draws, for the sparser of the two fits

Side = tuple[np.ndarray, np.ndarray]  # columns of what states show, and their mean ln q over networks


class Sides(NamedTuple):
    """Microstates and draws as columns ``(rows, k)`` (see :func:`.observed.columns_of`) with their mean ln q over networks.

    Attributes
    ----------
    trained, trained_share, trained_worth : tuple of arrays, array (rows,), float
        What the networks were trained on, its weights (they sum to 1), and how many independent microstates it is worth.
    heldout, heldout_share, heldout_worth
        The same of what was held out.
    fit, normalise : tuple of arrays
        Draws of the networks' mean, in two halves.
    """

    trained: Side
    trained_share: np.ndarray
    trained_worth: float
    heldout: Side
    heldout_share: np.ndarray
    heldout_worth: float
    fit: Side
    normalise: Side


def rival(sides: Sides) -> tuple[float, float]:
    """By how much a fit of another kind is better than the networks' mean density on held-out microstates: nats each, standard errors.

    p ∝ (mean density) · exp(λ·φ) with φ the mean ln q, its square and products of two columns; λ matches the means of φ over what the
    networks were trained on. Fitted twice, with all of the products in which microstates and draws differ most and with those that
    stand out alone, which one wrong bond among many needs; the better one counts. What single networks lose to their mean density
    is their scatter, which intervals hold.

    Returns
    -------
    float, float
        A network that is as good as the data allow loses nothing to it: both are then negative or small.
    """
    i, j, score = _pairs(sides)
    clear = score * np.sqrt(1 / (1 / sides.trained_worth + 1 / len(sides.fit[0]))) > _STANDS_OUT
    found = [_gain(sides, i, j)] + ([_gain(sides, i[clear], j[clear])] if clear.any() and not clear.all() else [])
    return max(found, key=lambda one: one[1])


def _gain(sides: Sides, i: np.ndarray, j: np.ndarray) -> tuple[float, float]:
    """Mean gain over held-out microstates with these products, and in standard errors (those of the normalisation included)."""
    centre = float(sides.trained_share @ sides.trained[1])
    features = lambda side: np.concatenate([side[0][:, i] * side[0][:, j], side[1][:, None], (side[1][:, None] - centre) ** 2], 1)
    own = features(sides.fit)
    location, unit = own.mean(0), np.maximum(own.std(0), 1e-9)
    scaled = lambda side: (features(side) - location) / unit
    strength = tilt(scaled(sides.fit), sides.trained_share @ scaled(sides.trained), 2 / min(sides.trained_worth, len(own)))
    exponent = scaled(sides.normalise) @ strength
    top = exponent.max()
    w = np.exp(exponent - top)
    better = scaled(sides.heldout) @ strength - top - np.log(w.mean())
    gain = float(sides.heldout_share @ better)
    variance = float(sides.heldout_share @ (better - gain) ** 2) / sides.heldout_worth + w.var() / w.mean() ** 2 / len(w)
    return gain, gain / float(np.sqrt(max(variance, 1e-300)))


def _pairs(sides: Sides) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns whose products differ most between microstates and draws, and by how much, in standard deviations of the product."""
    moment = lambda columns, share: (columns * share[:, None]).T @ columns
    drawn = sides.fit[0]
    even = np.full(len(drawn), 1 / len(drawn))
    seen, own = moment(sides.trained[0], sides.trained_share), moment(drawn, even)
    spread = np.sqrt(np.maximum(moment(drawn**2, even) - own**2, 0))
    i, j = np.triu_indices(len(own))
    alive = spread[i, j] > 1e-6
    i, j = i[alive], j[alive]
    score = np.abs(seen - own)[i, j] / spread[i, j]
    order = np.argsort(-score.round(9), kind="stable")[:_MOST]  # the last bit does not choose between equals
    return i[order], j[order], score[order]
