"""Drawing microstates: one algorithm per file, one loop that owns everything they share.

==================  ==============================================================  =====================================
sampler             takes                                                           when
==================  ==============================================================  =====================================
``exact``           an oracle: pair couplings, tiles, any path, free fields         always, where it applies
``own``             normalised densities, at a temperature that they know           always, where it applies
``swendsen_wang``   ±1 spins, Potts states with J ≥ 0 (fields allowed)              ferromagnets near their transition
``wolff``           the same, XY                                                    the same; single large clusters
``heat_bath``       pair couplings, tiles, formulas of few sites a term, XY         everything else
``metropolis``      any system, black boxes too                                     energies that are only known by calling
``tempering``       any pair couplings, tiles, formulas                             glasses, many temperatures at once
``block_gibbs``     sites independent given hidden units (restricted Boltzmann)     always, at their own temperature
``overrelaxation``  XY                                                              fields, frustration
``hmc``             continuous actions that JAX can differentiate                   fields, and whatever has no better
``kinks``           paths                                                           deep double wells, where not exact
``kawasaki``        ±1 spins of fixed magnetization                                 the only one that keeps it, but for ``exact``
==================  ==============================================================  =====================================

To add a sampler: one file with an engine (:class:`.loop.Engine`: ``init``, ``advance``, ``tune``) and a dataclass of settings
(:class:`.sampler.Sampler`), and its line in :data:`.samplers.AUTO`; and its line in the contract in ``tests/systems/test_sampling.py``.
A sampler of your own needs no line anywhere: ``simulate(sampler=Mine())``.
"""

from hamlearn.systems.sampling.run import simulate
from hamlearn.systems.sampling.sampler import Sampler, SamplesSystems
from hamlearn.systems.sampling.samplers import AUTO, SAMPLERS
from hamlearn.systems.sampling.several import exchanging, simulate_members, simulate_systems

__all__ = ["AUTO", "SAMPLERS", "Sampler", "SamplesSystems", "exchanging", "simulate", "simulate_members", "simulate_systems"]


def __dir__() -> list[str]:
    return sorted(__all__)
