"""The normaliser of a system of few hidden units: a sum over their states, at the temperature at which sites are independent given them."""

from __future__ import annotations

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import System
from hamlearn.systems.exact.oracle import Oracle
from hamlearn.systems.hidden import MOST_SUMMED, HiddenLayer


class HiddenUnits(Oracle):
    """Log Z of any number of sites that are independent given at most 20 binary hidden units.

    It answers at the system's own temperature only: the marginal at another one is no marginal of such a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from hamlearn.systems import RestrictedBoltzmannMachine, exact
    >>> coins = RestrictedBoltzmannMachine(30, np.zeros(30), np.zeros(2), np.zeros((30, 2)))
    >>> float(exact.log_partition(coins, 1.0) / np.log(2)), exact.method(coins) is None
    (32.0, True)
    """

    name = "hidden units"
    gives = ("normaliser",)

    def refusal(self, system: System) -> str | None:
        """Why not."""
        layer = system.hidden_layer
        if layer is None:
            return "needs a layer of hidden units"
        m = len(layer.hidden)
        return None if m <= MOST_SUMMED else f"{m} hidden units have more than 2^{MOST_SUMMED} states"

    def cost(self, system: System, beta: float) -> float:
        """Of all states of the hidden units."""
        layer = _layer(system)
        return 30.0 * 2.0 ** len(layer.hidden) * layer.weights.size

    def log_z(self, system: System, betas: np.ndarray) -> np.ndarray:
        """Log Z ``(n,)``, where every β is the system's own."""
        layer = _layer(system)
        if not np.allclose(betas, layer.beta, rtol=1e-9, atol=0.0):
            other = float(betas[~np.isclose(betas, layer.beta, rtol=1e-9, atol=0.0)][0])
            raise HamlearnError(
                f"the sum over hidden units gives log Z of {system!r} at its own temperature, beta={layer.beta:g}, "
                f"and not at beta={other:g}: sample it with hl.simulate."
            )
        return np.full(betas.shape, layer.log_z())


def _layer(system: System) -> HiddenLayer:
    layer = system.hidden_layer
    if layer is None:
        raise HamlearnError(f"this needs a system with a layer of hidden units; got {system!r}.")
    return layer
