"""Drawing microstates: one algorithm per file, one loop that owns everything they share.

==================  ==============================================================  =====================================
sampler             takes                                                           when
==================  ==============================================================  =====================================
``exact``           pair couplings with an oracle (2^20 states, 9×9 tori, …)        always, where it applies
``swendsen_wang``   ±1 spins, Potts states with J ≥ 0 (fields allowed)              ferromagnets near their transition
``wolff``           the same                                                        the same; single large clusters
``heat_bath``       any pair couplings                                              everything else
``metropolis``      any system, black boxes too                                     energies that are only known by calling
``tempering``       any pair couplings                                              glasses, many temperatures at once
==================  ==============================================================  =====================================

To add a sampler: write an engine (:class:`.loop.Engine`: ``init``, ``advance``, ``tune``), name it in
:mod:`.request` and :mod:`.run`, and add its line to the contract in ``tests/systems/test_sampling.py``.
"""

from hamlearn.systems.sampling.members import simulate_members
from hamlearn.systems.sampling.request import SAMPLERS
from hamlearn.systems.sampling.run import simulate

__all__ = ["SAMPLERS", "simulate", "simulate_members"]
