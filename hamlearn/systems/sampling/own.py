"""The draws that a system makes of itself: a normalised density, whose microstates are independent and cost one pass each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import System
from hamlearn.systems.sampling.sampler import Sampler


@dataclass(frozen=True)
class Own(Sampler):
    """Independent draws that a normalised density makes of itself, at a temperature that it knows.

    Examples
    --------
    >>> import numpy as np, hamlearn as hl
    >>> coins = lambda count, seed, beta=None: np.random.default_rng(seed).choice([-1, 1], (count, 3))
    >>> ln_p = lambda states, beta=None: np.full(states.shape[:-1], -3 * np.log(2))
    >>> fair = hl.systems.LearnedDensity(hl.systems.lattice.hypercubic(3), hl.systems.SPINS, 0.5, ln_p, draw=coins)
    >>> [hl.simulate(fair, beta, draws=4, chains=1).attrs["sampler"] for beta in (0.5, 0.6)]
    ['own', 'metropolis']
    """

    name: ClassVar[str] = "own"
    independent: ClassVar[bool] = True
    uses: ClassVar[frozenset[str]] = frozenset()

    def refusal(self, system: System) -> str | None:
        """Whatever is known by its energy."""
        return None if system.own_draws() is not None else "it is for normalised densities, which draw microstates of themselves"

    def suits(self, system: System, betas: np.ndarray) -> str | None:
        """At the temperatures that the density knows."""
        known = all(system.own_draws(float(beta)) is not None for beta in betas)
        return "a normalised density draws independent microstates of itself" if known else None

    def sample(self, system: System, beta: float, count: int, seed: int) -> np.ndarray:
        """`count` independent states."""
        draws = system.own_draws(beta)
        if draws is None:
            raise HamlearnError(
                f"{system!r} draws microstates of itself at the temperature it was learned at, and not at beta={beta:g}: take "
                "sampler='metropolis', or weight its draws with hl.estimate."
            )
        return draws(count, seed)


__all__ = ["Own"]
