"""A new object of a known structure compiles nothing: its parameters are data to the compiled code.

Counted by JAX's own monitoring of compilations (what its persistent cache answers counts too).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import numpy as np
import pytest

import hamlearn as hl


@contextmanager
def compilations() -> Iterator[list[str]]:
    """What is compiled inside, one entry each."""
    seen: list[str] = []

    def listen(event: str, duration: float, **_: object) -> None:
        if event.endswith("backend_compile_duration"):
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


FRESH = {
    "field": lambda k: hl.simulate(hl.systems.ScalarField((3, 3), m2=0.5 + k, lam=0.3 + k), 1.0, 20, 2, sampler="hmc", burn_in=20),
    "field of another name": lambda k: hl.simulate(
        hl.systems.ScalarField((2, 3), 0.5, 0.3) if k else hl.systems.PolynomialField((2, 3), [0, 0.4, 0, 0.3]), 1.0, 20, 2, burn_in=20
    ),
    "path": lambda k: hl.simulate(hl.systems.Path(6, hl.systems.DoubleWell(4.0, 2.0 + k)), 2.0 + k, 20, 2, sampler="hmc", burn_in=20),
    "rotors": lambda k: hl.simulate(hl.systems.XY((3, 3), J=1.0 + k), 0.7, 20, 2, sampler="hmc", burn_in=20),
    "spins": lambda k: hl.simulate(hl.systems.EdwardsAnderson((3, 3), seed=k), 0.7, 20, 2, sampler="heat_bath", burn_in=20),
    "three states": lambda k: hl.simulate(hl.systems.Potts((3, 3), q=3, J=1.0 + k), 0.7, 20, 2, sampler="heat_bath", burn_in=20),
    "posterior by NUTS": lambda k: _posterior(k, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)))),
    "extensive network": lambda k: _network(k).energy(np.ones((7, 5, 5))),
}


def _network(k):
    bound = hl.models.Extensive(focus=1, context=2, hidden=(3,)).bind(hl.systems.SPINS, (5, 5))
    return bound.system(bound.start(k))


def _posterior(k, model):
    """Other data, another number of rows, another width of the (widened) prior, another seed."""
    data = hl.simulate(hl.systems.EdwardsAnderson((3, 3), seed=k), 0.5 + 0.2 * k, 100 + 5 * k, 2, seed=k)
    return hl.infer.learn(data, model, likelihood="pseudo", engine=hl.infer.NUTS(draws=5, warmup=5, chains=2), seed=k)


@pytest.mark.parametrize("name", FRESH)
def test_a_fresh_object_compiles_nothing(name):
    with compilations() as first:
        FRESH[name](0)
    assert first, "nothing was compiled at all: this count sees nothing"
    with compilations() as again:
        FRESH[name](1)
    assert not again
