"""How strong a coupling has to be to be seen: below it, a sparse posterior leaves it open whether there is one."""

from __future__ import annotations

import numpy as np
import scipy.optimize

from hamlearn.infer.engines.gibbs.surrogate import Surrogate


def detectable(normal: Surrogate, included: np.ndarray, hyper: np.ndarray) -> np.ndarray:
    """The strength at which an absent coupling would be selected in 19 of 20 data sets, ``(n_couplings,)``; NaN for those selected.

    Parameters
    ----------
    normal : Surrogate
        The likelihood as a normal one.
    included : array (n_couplings,)
        Inclusion probabilities.
    hyper : array (3,)
        Inclusion probability, slab width and slab magnitude, typical ones of the posterior.

    Notes
    -----
    The estimate of a coupling scatters by σ, given those that exist. It is selected where its Bayes factor with the slab, of either sign,
    outweighs the prior odds; 1.64 σ more makes that 19 of 20 data sets.
    """
    n, precision = len(included), normal.precision
    there = np.concatenate([included > 0.5, np.ones(len(precision) - n, bool)])
    inner, cross = precision[np.ix_(there, there)], precision[:n, there]
    width = np.diag(precision)[:n] - np.einsum("ka,ak->k", cross, np.linalg.solve(inner, cross.T)) if there.any() else np.diag(precision)
    probability, slab, centre = float(np.clip(hyper[0], 1e-12, 1 - 1e-12)), max(float(hyper[1]), 1e-9), float(hyper[2])
    odds, tau, result = np.log(probability) - np.log1p(-probability), slab**-2.0, np.full(n, np.nan)
    for k in np.flatnonzero(~there[:n]):
        q = max(float(width[k]), 1e-300)

        def gain(strength: float, q: float = q) -> float:
            base = odds - np.log(2) + 0.5 * np.log(tau / (q + tau)) - 0.5 * tau * centre**2
            up, down = q * strength + tau * centre, q * strength - tau * centre
            either = np.logaddexp(0.5 * up**2 / (q + tau), 0.5 * down**2 / (q + tau))
            return float(base + either)

        sd, top = q**-0.5, q**-0.5
        while gain(top) < 0 and top < 1e6 * sd:
            top *= 2
        least = 0.0 if gain(0.0) >= 0 else float(scipy.optimize.brentq(gain, 0.0, top)) if gain(top) > 0 else np.inf
        result[k] = least + 1.645 * sd
    return result
